/* shared.h - which prompts begin alike. */
#ifndef OFFRAMP_EVAL_SHARED_H
#define OFFRAMP_EVAL_SHARED_H

#include <offramp/tokenizer.h>

/* shared[i] = the most leading tokens that prompts[i] has in common with any other of them, 0 where that is
 * less than a page of the KV cache (OR_PAGE): or_request.n_shared. O(n log n) comparisons. */
or_status or_shared_prefixes(const or_tokens *const *prompts, size_t n, size_t *shared);

#endif
