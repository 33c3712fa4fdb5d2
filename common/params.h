/* SPDX-License-Identifier: MIT
 *
 * A model's parameters: the subset of JSON Schema that manifests may use, and requests checked
 * against it.
 *
 *     {"type": "object",
 *      "properties": {"strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.8,
 *                                  "title": "Strength", "description": "…"},
 *                     "paper": {"type": "string", "enum": ["white", "cream"], "default": "white"}},
 *      "required": [], "additionalProperties": false}
 *
 *     rc = params_check_schema(schema, &err);                // once, when a manifest is loaded
 *     rc = params_apply_schema(schema, given, &params, &err); // for each request
 *
 * Types: integer and number (both ends of the range are demanded), string (maxLength or enum is
 * demanded; a `pattern` is a POSIX extended regular expression that has to begin with ^ and end
 * with
 * $, which for what manifests need reads as JSON Schema's), boolean. Anything else in a schema is
 * refused, so that nothing in it is ignored silently. Schemas are only read: any thread. */
#ifndef DARKROOM_COMMON_PARAMS_H
#define DARKROOM_COMMON_PARAMS_H

#include "common/json.h"

enum {
    PARAMS_MAX_PROPERTIES = 32,
    PARAMS_MAX_NAME = 32, /* [a-z][a-z0-9_]* */
    PARAMS_MAX_TEXT = 1024,
    PARAMS_MAX_TITLE = 80,
    PARAMS_MAX_DESCRIPTION = 500,
    PARAMS_MAX_PATTERN = 200,
    PARAMS_MAX_CHOICES = 64
};

/* ERR_INVALID or ERR_LIMIT; the field says where ("params.properties.strength.minimum"). */
int params_check_schema(const json_t *schema, struct err *err);

/* Of a schema that was checked: is the property's type this one; is the parameter required? */
bool params_has_type(const json_t *property, const char *type);
bool params_is_required(const json_t *schema, const char *name);

/* Checks `given` (NULL or null: nothing given) and fills in defaults. *out_params is a new object,
 * owned by the caller, that holds the values of `given` themselves. ERR_INVALID with the field
 * "params.<name>" and the limit in the text. */
int params_apply_schema(const json_t *schema, const json_t *given, json_t **out_params,
                        struct err *err);

#endif
