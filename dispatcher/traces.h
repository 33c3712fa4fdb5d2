/* SPDX-License-Identifier: MIT
 *
 * Requests as steps of traces (common/trace.h), and what is told of them where --otlp-endpoint says
 * so (common/tracer.h):
 *
 *     POST /v1/jobs                  a request                       server
 *       ├ store the picture                                            client
 *       └ enqueue portrait-drawing   what the job's record names, and everything later is below it
 *
 *     if (traces_enter(call))                            // of routes that hand in jobs
 *         … call->trace.enqueue goes into the record …
 *     begin_us = traces_now(call);
 *     traces_enqueued(call, &(struct traces_enqueued){…}, begin_us);
 *     traces_done(call, exchange, status);               // of every request
 *
 * A job that is handed in may begin a trace, as often as --trace-ratio says; any other request is
 * told of only where its sender has one that is sampled. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_TRACES_H
#define DARKROOM_DISPATCHER_TRACES_H

#include "common/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct exchange;

/* Where a request is in a trace. Zeros: in none, or nobody has looked yet. */
struct call_trace {
    bool entered;
    struct trace request;         /* the request itself */
    char parent[TRACE_SPAN_SIZE]; /* "": the trace begins here */
    struct trace enqueue;         /* below it: the job's way into the queue */
    int64_t begin_us;             /* clock_us(); 0 where nobody collects */
};

/* Finds its trace, or begins one. False: it is part of none. */
bool traces_enter(struct call *call);

/* clock_us(), or 0 where nothing will be told of this request. */
int64_t traces_now(const struct call *call);

struct traces_enqueued {
    const char *model; /* NULL: of several */
    const char *id;    /* of the job or the batch */
    const char *after; /* the jobs that it waits for; "" or NULL: none */
    size_t count;      /* of jobs */
    int rc;            /* of the queue's answer */
};

/* Each is told only where begin_us is a time. */
void traces_stored(struct call *call, int rc, int64_t begin_us);
void traces_enqueued(struct call *call, const struct traces_enqueued *enqueued, int64_t begin_us);

/* The answer has gone out; status 0: the client left. */
void traces_done(struct call *call, const struct exchange *exchange, unsigned status);

/* What an operator is told of the collector; for tracing_open(). */
void traces_told(void *context, const char *reason);

#endif
