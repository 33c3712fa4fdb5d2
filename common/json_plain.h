/* SPDX-License-Identifier: MIT
 *
 * A short way through JSON that is plain: for json.c alone, which falls back to jansson for the
 * rest. Any thread. */
#ifndef DARKROOM_COMMON_JSON_PLAIN_H
#define DARKROOM_COMMON_JSON_PLAIN_H

#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* NULL: not plain, not JSON, nested too deep, or no memory; ask jansson. What it does give, jansson
 * would give too.
 */
json_t *json_plain_parse(const char *text, size_t size, int max_depth);

/* A text with its quotes, appended. ERR_UNSUPPORTED: not plain, and nothing was. */
int json_plain_append_text(struct buf *buf, const char *text, size_t size);

/* The compact text, appended; `sorted`: members by name. ERR_UNSUPPORTED: not plain; then part of
 * it may have been appended. */
int json_plain_append(struct buf *buf, json_t *value, bool sorted);

#endif
