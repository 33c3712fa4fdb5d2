/* SPDX-License-Identifier: MIT
 *
 * Mails and webhooks as steps of their job's trace, told where --otlp-endpoint says so
 * (common/tracer.h). Each try is one, beside the job's work and below the step that put it into the
 * queue. Neither addresses nor URLs are told.
 *
 *     notifier_spans_mail(tracer, &(struct notifier_try){…});     // as soon as it has ended
 *
 * Any thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_SPANS_H
#define DARKROOM_DISPATCHER_NOTIFIER_SPANS_H

#include "common/trace.h"

#include <stdbool.h>
#include <stdint.h>

struct tracer;

/* All texts are borrowed. */
struct notifier_try {
    const char *job_trace; /* as its record has it; "": none */
    const char *own_trace; /* of a request that had to tell it; NULL: a new step */
    const char *job;       /* its public id */
    int attempt;           /* 1: the first */
    int64_t begin_us;      /* clock_us() */
    bool failed;
    int status;         /* of the answer to a webhook; 0: none */
    const char *reason; /* a short word for why it failed; with a status that says it */
};

void notifier_spans_mail(struct tracer *tracer, const struct notifier_try *one);
void notifier_spans_hook(struct tracer *tracer, const struct notifier_try *one);

/* What an operator is told of the collector; for tracing_open(). */
void notifier_spans_told(void *context, const char *reason);

#endif
