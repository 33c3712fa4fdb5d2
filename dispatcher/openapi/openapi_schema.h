/* SPDX-License-Identifier: MIT
 *
 * Schemas of the API's description in words: for openapi_view.c alone. Bounded in depth and in the
 * number of members, whatever refers to what. Values are owned by the caller. */
#ifndef DARKROOM_DISPATCHER_OPENAPI_OPENAPI_SCHEMA_H
#define DARKROOM_DISPATCHER_OPENAPI_OPENAPI_SCHEMA_H

#include "common/buf.h"
#include "common/json.h"

#include <stdbool.h>

/* What `item` refers to, or itself. Borrowed. */
const json_t *openapi_resolve(const json_t *document, const json_t *item);

/* A text without the marks of Markdown; "" for what is none. */
json_t *openapi_plain(const json_t *text);

/* "integer, 1 to 100", "list of text", "queued, running": what a value may be, in English. */
json_t *openapi_kind(const json_t *document, const json_t *schema);

/* Appends {name, kind, text, required} for the schema's members, theirs below them. */
void openapi_flatten(const json_t *document, const json_t *schema, const char *prefix,
                     bool required, int depth, json_t *members);

/* A value that fits: examples and defaults where there are any, else the least. */
json_t *openapi_example(const json_t *document, const json_t *schema, int depth);

#endif
