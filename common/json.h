/* SPDX-License-Identifier: MIT
 *
 * The home of jansson: bounded parsing, getters that say what is wrong, and writing into a buf.
 *
 *     json_t *body = NULL;
 *     const char *email = NULL;
 *     int64_t x;
 *     rc = json_parse(data, size, (struct json_limits){.max_bytes = 65536, .max_depth = 8}, &body,
 *                     &err);
 *     rc = json_check_members(body, NULL, (const char *const[]){"email", "crop", NULL}, &err);
 *     rc = json_opt_text(body, "email", 254, &email, &err);
 *     rc = json_get_int(json_object_get(body, "crop"), "crop.x", 0, 16383, &x, &err);
 *     json_decref(body);
 *
 * `path` names the member for the error ("crop.x"); what follows its last dot is the member that
 * is read. Every error carries the path as its field and the limit in its text. jansson's own
 * functions (json_pack, json_object_get …) may be used wherever this header is included.
 * json_get_*: a missing member is ERR_INVALID. json_opt_*: a missing member or null is 0 and leaves
 * the output as it was. Values belong to one thread. */
#ifndef DARKROOM_COMMON_JSON_H
#define DARKROOM_COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

struct json_limits {
    size_t max_bytes;
    int max_depth; /* 1: an object of plain values */
};

/* Parses one document, an object or an array, with nothing behind it. Duplicate members, \u0000
 * and bytes that are not UTF-8 are refused. `data` is borrowed; *out_value is owned by the caller
 * (json_decref). ERR_LIMIT (too long, too deep), ERR_INVALID (not JSON: says where), ERR_NOMEM. */
int json_parse(const void *data, size_t size, struct json_limits limits, json_t **out_value,
               struct err *err);
int json_parse_file(const char *path, struct json_limits limits, json_t **out_value,
                    struct err *err);

/* Refuses members of `object` that are not in the NULL-ended list. `path` (NULL at the top) is put
 * before the unknown member's name in the error. ERR_INVALID, also where it is no object. */
int json_check_members(const json_t *object, const char *path, const char *const *names,
                       struct err *err);

/* A text of at most max_bytes without control characters; borrowed from `object`. */
int json_get_text(const json_t *object, const char *path, size_t max_bytes, const char **out_text,
                  struct err *err);
int json_get_int(const json_t *object, const char *path, int64_t min, int64_t max,
                 int64_t *out_value, struct err *err);
int json_get_real(const json_t *object, const char *path, double min, double max, double *out_value,
                  struct err *err);
int json_get_bool(const json_t *object, const char *path, bool *out_value, struct err *err);
/* Borrowed from `object`. */
int json_get_object(const json_t *object, const char *path, json_t **out_value, struct err *err);
int json_get_array(const json_t *object, const char *path, size_t max_items, json_t **out_value,
                   struct err *err);

int json_opt_text(const json_t *object, const char *path, size_t max_bytes, const char **out_text,
                  struct err *err);
int json_opt_int(const json_t *object, const char *path, int64_t min, int64_t max,
                 int64_t *out_value, struct err *err);
int json_opt_real(const json_t *object, const char *path, double min, double max, double *out_value,
                  struct err *err);
/* null is neither true nor false nor left out: it is refused. */
int json_opt_bool(const json_t *object, const char *path, bool *out_value, struct err *err);
int json_opt_object(const json_t *object, const char *path, json_t **out_value, struct err *err);
int json_opt_array(const json_t *object, const char *path, size_t max_items, json_t **out_value,
                   struct err *err);

/* Appends the text of `value`. `flags` are jansson's: JSON_COMPACT, JSON_INDENT(2), JSON_SORT_KEYS.
 * ERR_LIMIT past the buffer's maximum, and then the buffer holds what it held. */
int json_append(struct buf *buf, const json_t *value, size_t flags);

/* The same for a text that is no value yet. ERR_INVALID: it is not UTF-8. */
int json_append_text(struct buf *buf, const char *text);

/* True where `text` holds no control characters (below 0x20, or 0x7f). */
bool json_text_is_clean(const char *text, size_t size);

#endif
