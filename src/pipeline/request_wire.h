/* request_wire.h - requests on their way from rank 0 to another pipeline, and the news of them on their way
 * back.
 *
 *   a message is one after the other     request   head | tokens | choices | ends | forced | exits
 *   of these, without gaps               news      head | answer, observations
 *                                                  head | token
 *                                                  head | why nothing more comes
 *                                                  head | the layer after which it failed
 *
 * Numbers are those of the sender's memory: all machines of a job have the same byte order. What is decoded
 * is checked: OR_ERR_PEER when sizes do not fit each other or a number is outside of the limits. Pure: no
 * MPI.
 */
#ifndef OFFRAMP_PIPELINE_REQUEST_WIRE_H
#define OFFRAMP_PIPELINE_REQUEST_WIRE_H

#include "memory.h"

#include <offramp/pipeline.h>

/* What a pipeline knows, against which all is checked. */
typedef struct or_request_limits {
    size_t n_policies;
    size_t longest, room; /* or_pipeline_longest(), or_pipeline_room() */
    int n_vocab, n_layers;
} or_request_limits;

/* Appends the request with all its arrays. */
or_status or_request_encode(const or_request *request, or_buffer *out);

/* Reads the request at the beginning of `bytes`, which takes *used of them. *request is one block with its
 * arrays: free() it. */
or_status or_request_decode(const char *bytes, size_t size, const or_request_limits *limits, size_t *used,
                            or_request **request);

typedef enum or_news_kind {
    OR_NEWS_ANSWER, /* or_job.answer() */
    OR_NEWS_TOKEN,  /* or_job.token() */
    OR_NEWS_FINISH, /* or_job.finish() */
    OR_NEWS_FAULT   /* or_job.fault() */
} or_news_kind;

typedef struct or_news {
    or_news_kind kind;
    uint64_t request; /* counted as the pipeline got them */
    or_answer answer;
    or_token token;
    or_finish why;
    int32_t fault; /* layer */
} or_news;

or_status or_news_encode(const or_news *news, or_buffer *out);

/* Reads the news at the beginning of `bytes`. Observations are put into seen[n_layers], to which answer.seen
 * points then. */
or_status or_news_decode(const char *bytes, size_t size, const or_request_limits *limits, size_t *used,
                         or_observation *seen, or_news *news);

#endif
