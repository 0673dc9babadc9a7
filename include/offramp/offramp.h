/* offramp.h - everything of the library. Each header is the manual of its part. */
#ifndef OFFRAMP_OFFRAMP_H
#define OFFRAMP_OFFRAMP_H

#include <offramp/batch.h>
#include <offramp/checkpoint.h>
#include <offramp/cost.h>
#include <offramp/dtype.h>
#include <offramp/eval.h>
#include <offramp/export.h>
#include <offramp/model.h>
#include <offramp/pipeline.h>
#include <offramp/plan.h>
#include <offramp/policy.h>
#include <offramp/simulate.h>
#include <offramp/span.h>
#include <offramp/status.h>
#include <offramp/stream.h>
#include <offramp/task.h>
#include <offramp/timeline.h>
#include <offramp/tokenizer.h>
#include <offramp/trace.h>
#include <offramp/train.h>

#endif
