/* SPDX-License-Identifier: MIT
 *
 * Header lines of one name as one list, separated by commas (RFC 9110, 5.3). What does not fit is
 * left out from the front: the last line is the one that the nearest proxy wrote. Pure; any thread.
 */
#ifndef DARKROOM_DISPATCHER_HTTP_LIST_H
#define DARKROOM_DISPATCHER_HTTP_LIST_H

#include <stddef.h>

struct http_list {
    char *out; /* borrowed; always ends with a zero */
    size_t size, used, count;
};

void http_list_init(struct http_list *list, char *out, size_t size);
void http_list_add(struct http_list *list, const char *value);

#endif
