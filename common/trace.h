/* SPDX-License-Identifier: MIT
 *
 * Traces over several programs: the header traceparent of W3C Trace Context, version 00.
 *
 *     struct trace trace;
 *     if (trace_parse(header, &trace) && trace_enter(&trace) == 0)
 *         trace_format(&trace, text);        // "00-<trace id>-<our span's id>-01"
 *
 * A job keeps the text of the span that accepted it (line `t` of its record); whoever works on it
 * later makes a span of its own below that one. Pure but for the randomness; any thread. */
#ifndef DARKROOM_COMMON_TRACE_H
#define DARKROOM_COMMON_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define TRACE_TEXT_SIZE 56 /* with the terminating zero */
#define TRACE_ID_SIZE 33
#define TRACE_SPAN_SIZE 17

struct trace {
    char id[TRACE_ID_SIZE];     /* of the whole trace: 32 hex digits */
    char span[TRACE_SPAN_SIZE]; /* of the step that calls: 16 hex digits */
    bool sampled;
};

/* Reads a header, also of a later version, of which it takes what it knows. False: it is not valid,
 * and is to be ignored (`out` is unchanged). `text` may be NULL. */
bool trace_parse(const char *text, struct trace *out);

/* Begins a step below the one in `trace`, and names it there. ERR_INTERNAL: no randomness. */
int trace_enter(struct trace *trace);

/* Begins a trace of its own with its first step, sampled. ERR_INTERNAL as above. */
int trace_begin(struct trace *out);

/* What ids and sampling are made of: evenly spread, not for secrets. ERR_INTERNAL as above. */
int trace_random(uint64_t *out);

void trace_format(const struct trace *trace, char out[TRACE_TEXT_SIZE]);

/* For a request that a job makes: a step below the one in `text` as trace_format() wrote it, in the
 * same form. False: there is none, or no randomness. */
bool trace_below(const char *text, char out[TRACE_TEXT_SIZE]);

/* The trace's id inside such a text, for logs; "" where the text is none. */
void trace_id_of(const char *text, char out[TRACE_ID_SIZE]);

#endif
