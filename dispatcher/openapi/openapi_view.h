/* SPDX-License-Identifier: MIT
 *
 * The description of the API as data for the pages at /docs.
 *
 *     json_t *list = openapi_view_list(document);               // [{name, text, operations: […]}]
 *     json_t *one = openapi_view_operation(document, "getJob"); // NULL: there is no such operation
 *
 * Schemas become flat lists of members ("crop.x"), with what they refer to put in. Results are
 * owned by the caller, NULL without memory. Pure; any thread. */
#ifndef DARKROOM_DISPATCHER_OPENAPI_OPENAPI_VIEW_H
#define DARKROOM_DISPATCHER_OPENAPI_OPENAPI_VIEW_H

#include "common/json.h"

/* By tag, in their order: each operation has id, method, path, summary. */
json_t *openapi_view_list(const json_t *document);

/* id, method, path, tag, summary, text; rights: [{name, scope, text}]; parameters: [{name, in,
 * kind, text, required, example}]; bodies: [{type, shapes: [{title, members, first}]}]; example:
 * JSON of a body; answers: [{status, text, headers, type, members}]. */
json_t *openapi_view_operation(const json_t *document, const char *id);

/* members: [{name, kind, text, required}] of a schema. */
json_t *openapi_view_members(const json_t *document, const json_t *schema);

#endif
