/* SPDX-License-Identifier: MIT
 *
 * The target of a request taken apart: path and query, percent-decoded, with everything refused
 * that could confuse whoever reads it next (controls, NUL, an escaped slash, a bad escape). Any
 * thread. */
#ifndef DARKROOM_DISPATCHER_HTTP_URI_H
#define DARKROOM_DISPATCHER_HTTP_URI_H

#include <stddef.h>

#define HTTP_URI_MAX 4096

/* Splits "/path?query". *out_path is owned by the caller and decoded; *out_query lies in the same
 * memory, raw, and is NULL where there is none. ERR_INVALID, ERR_LIMIT, ERR_NOMEM. */
int http_uri_split(const char *target, char **out_path, const char **out_query);

/* The first argument of this name, decoded ('+' is a space). `query` may be NULL. ERR_NOT_FOUND,
 * ERR_INVALID, ERR_LIMIT. */
int http_uri_argument(const char *query, const char *name, char *out, size_t out_size);

#endif
