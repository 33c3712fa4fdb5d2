/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/list.h"

#include <string.h>

void http_list_init(struct http_list *list, char *out, size_t size)
{
    *list = (struct http_list){.out = out, .size = size};
    out[0] = 0;
}

static void append(struct http_list *list, const char *piece, size_t size)
{
    const size_t room = list->size - 1;
    if (size > room) {
        piece += size - room;
        size = room;
    }
    if (list->used > room - size) {
        memmove(list->out, list->out + list->used - (room - size), room - size);
        list->used = room - size;
    }
    memcpy(list->out + list->used, piece, size);
    list->used += size;
    list->out[list->used] = 0;
}

void http_list_add(struct http_list *list, const char *value)
{
    if (list->count++ > 0)
        append(list, ",", 1);
    append(list, value, strlen(value));
}
