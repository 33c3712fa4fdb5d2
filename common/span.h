/* SPDX-License-Identifier: MIT
 *
 * One step of a trace as it is told to whoever collects traces: OpenTelemetry's span.
 *
 *     struct span span;
 *     span_init(&span, SPAN_SERVER, &step, parent, "POST %s", route);
 *     span_text(&span, "http.route", route);
 *     span_number(&span, "http.response.status_code", 503);
 *     span_fail(&span, "503");
 *     span_during(&span, begin_us, clock_us());
 *     tracer_put(tracer, &span, 1);               // takes what the span owns
 *
 * Names and attributes are those of OpenTelemetry's semantic conventions where they have one, else
 * they begin with "darkroom.". Never an address, a picture, a link, a token or anything a person
 * typed. A span has a fixed size, so that making one needs no memory; what does not fit is left out
 * and counted. Plain values; belongs to one thread. */
#ifndef DARKROOM_COMMON_SPAN_H
#define DARKROOM_COMMON_SPAN_H

#include "common/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPAN_ATTRIBUTES 14
#define SPAN_NAME_SIZE 96
#define SPAN_TEXT_BYTES 320

/* OTLP's numbers. */
enum span_kind {
    SPAN_INTERNAL = 1,
    SPAN_SERVER = 2,
    SPAN_CLIENT = 3,
    SPAN_PRODUCER = 4,
    SPAN_CONSUMER = 5
};

struct span_attribute {
    const char *key; /* of static storage */
    bool is_text;
    int64_t number;
    size_t text_at; /* in `texts` */
};

struct span {
    struct trace step;            /* its own ids */
    char parent[TRACE_SPAN_SIZE]; /* "": the first of its trace */
    enum span_kind kind;
    char name[SPAN_NAME_SIZE];
    int64_t start_us, end_us; /* since 1970 */
    bool failed;
    struct span_attribute attributes[SPAN_ATTRIBUTES];
    size_t attribute_count, attributes_left_out;
    char texts[SPAN_TEXT_BYTES]; /* zero-terminated, one behind the other */
    size_t texts_size;
    struct trace *links; /* owned: steps of other traces that this one has to do with */
    size_t link_count;
};

/* `parent` may be NULL or "". */
void span_init(struct span *span, enum span_kind kind, const struct trace *step, const char *parent,
               const char *name_format, ...) __attribute__((format(printf, 5, 6)));
void span_fini(struct span *span);

/* A value of NULL or "" says nothing, and is not written. */
void span_text(struct span *span, const char *key, const char *value);
void span_number(struct span *span, const char *key, int64_t value);

/* It did not end well: `type` is a short word or a status, as error.type wants it. */
void span_fail(struct span *span, const char *type);

/* Room for links, which the caller fills; NULL where memory ran out, and then there are none.
 * Borrowed from the span. Once for each span. */
struct trace *span_links(struct span *span, size_t count);

/* When it was, by two times of clock_us(). */
void span_during(struct span *span, int64_t begin_us, int64_t end_us);

#endif
