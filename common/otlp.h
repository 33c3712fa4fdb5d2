/* SPDX-License-Identifier: MIT
 *
 * The OpenTelemetry protocol's traces as JSON (OTLP 1.x over HTTP, its "JSON Protobuf encoding"):
 * ids are hex, whole numbers of 64 bits are texts, enums are numbers.
 *
 *     rc = otlp_write_resource(pairs, count, &resource);      // once
 *     rc = otlp_write_traces(&resource, spans, count, &body);  // what is posted
 *     rejected = otlp_read_rejected(answer, size, text);
 *
 * And the lists "key=value,key=value" of the environment variables that all programs with
 * OpenTelemetry share; values are percent-encoded. Pure functions; any thread. */
#ifndef DARKROOM_COMMON_OTLP_H
#define DARKROOM_COMMON_OTLP_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct span;

#define OTLP_PAIRS_MAX 24
#define OTLP_PAIRS_BYTES 8192

struct otlp_pair {
    const char *key, *value; /* borrowed from the text that was taken apart */
};

struct otlp_pairs {
    struct otlp_pair items[OTLP_PAIRS_MAX];
    size_t count;
};

/* Takes `text` apart in place, and adds; it is borrowed for the life of `pairs`. Commas and ends of
 * lines part the pairs, spaces around them do not count. ERR_INVALID: one without a key or '=', a
 * bad escape, or a control character in a value; ERR_LIMIT: too many. The error never tells a
 * value, which may be a secret; `source` says where the list stood. */
int otlp_pairs_parse(char *text, const char *source, struct otlp_pairs *pairs, struct err *err);

/* Appends the resource: who it is that sends. Of a key that stands twice the last counts. */
int otlp_write_resource(const struct otlp_pairs *pairs, struct buf *out);

/* Appends a request of these spans; `resource` is what otlp_write_resource() wrote. ERR_LIMIT past
 * the buffer's maximum. */
int otlp_write_traces(const struct buf *resource, const struct span *spans, size_t count,
                      struct buf *out);

/* How many of them were not taken, by a 2xx; 0 where the answer says nothing. Why is copied to
 * `reason`, printable and cut to fit; "" where it is not told. */
#define OTLP_REASON_SIZE 160
int64_t otlp_read_rejected(const void *answer, size_t size, char reason[OTLP_REASON_SIZE]);

#endif
