/* SPDX-License-Identifier: MIT
 *
 * Sends spans to a collector: OTLP over HTTP, in JSON.
 *
 *     struct tracer *tracer = NULL;                       // NULL: nobody collects, and all is idle
 *     rc = tracer_create(&options, &tracer, &err);
 *     if (tracer && trace.sampled) {
 *         …                                               // make a span: span.h
 *         tracer_put(tracer, &span, 1);
 *     }
 *     tracer_destroy(&tracer, 1500);                      // sends what is left, within that time
 *
 * A thread of its own posts what has gathered, once a second or when there are many. A collector
 * that is slow, away or refuses costs spans, which are counted, and nobody's time: 429, 502, 503,
 * 504 and no answer at all are tried again for a minute, as Retry-After says or with growing
 * pauses; any other refusal is final. Any thread, but for create and destroy. */
#ifndef DARKROOM_COMMON_TRACER_H
#define DARKROOM_COMMON_TRACER_H

#include "common/http_client.h"
#include "common/otlp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct span;
struct trace;
struct tracer;

#define TRACER_HEADERS_MAX (OTLP_PAIRS_MAX + 1)

/* All borrowed for the call of create(), but for `told`'s context. */
struct tracer_options {
    const char *url; /* of the traces themselves: http://collector:4318/v1/traces */
    const char *ca_file;
    const struct otlp_pairs *headers;  /* secrets, often */
    const struct otlp_pairs *resource; /* who we are */
    double ratio;                      /* of the traces that begin here: 0…1 */
    /* Called by the sending thread when sending begins to fail (the reason) and when it goes again
     * (NULL). Nullable. */
    void (*told)(void *context, const char *reason);
    void *context;
};

struct tracer_figures {
    uint64_t exported;
    uint64_t dropped_full;   /* more came than could be sent */
    uint64_t dropped_failed; /* the collector refused them, or was away for too long */
};

int tracer_create(const struct tracer_options *options, struct tracer **out_tracer,
                  struct err *err);
/* Harmless on NULL. */
void tracer_destroy(struct tracer **tracer, int64_t flush_ms);

/* Takes what the spans own. Never waits for the network. Harmless on NULL. */
void tracer_put(struct tracer *tracer, struct span *spans, size_t count);

/* For a request that brings no decision: begins a trace, as often as `ratio` says. False where it
 * is not to be traced, or `tracer` is NULL. */
bool tracer_begin(struct tracer *tracer, struct trace *out_trace);
/* The same decision for a trace that began elsewhere. */
bool tracer_samples(const struct tracer *tracer);

void tracer_read_figures(struct tracer *tracer, struct tracer_figures *out);

#endif
