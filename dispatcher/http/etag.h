/* SPDX-License-Identifier: MIT
 *
 * Entity tags (RFC 9110, 8.8.3) and the condition If-None-Match.
 *
 *     char etag[ETAG_SIZE];
 *     rc = etag_of(body, size, etag);
 *     if (etag_known(exchange, etag)) ...304, with the same ETag
 *
 * A tag is a digest of what is sent, so two dispatchers give the same one. Pure but for the reading
 * of the request; loop's thread. */
#ifndef DARKROOM_DISPATCHER_HTTP_ETAG_H
#define DARKROOM_DISPATCHER_HTTP_ETAG_H

#include <stdbool.h>
#include <stddef.h>

struct exchange;

#define ETAG_SIZE 35 /* 32 hex digits in quotes, and the zero */

/* A strong tag of these bytes. ERR_INTERNAL where libcrypto fails. */
int etag_of(const void *data, size_t size, char out[ETAG_SIZE]);

/* Does the list of an If-None-Match name this tag? Compared weakly, as it has to be; "*" names
 * every one. What is no list of tags names none. `list` may be NULL. */
bool etag_in_list(const char *list, const char *etag);

/* Does the client have it already, by its If-None-Match? */
bool etag_known(const struct exchange *exchange, const char *etag);

#endif
