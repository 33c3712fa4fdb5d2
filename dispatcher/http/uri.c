/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/uri.h"

#include "common/base64.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Decodes `size` bytes into `out`, which has room for out_size with the terminator. */
static int decode(const char *text, size_t size, bool query, char *out, size_t out_size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            unsigned char byte;
            if (size - i < 3 || hex_decode(text + i + 1, 2, &byte, 1) < 0)
                return ERR_INVALID;
            c = byte;
            i += 2;
            if (c == '/' && !query) /* would change the shape of the path */
                return ERR_INVALID;
        } else if (c == '+' && query) {
            c = ' ';
        }
        if (c < ' ' || c == 0x7f)
            return ERR_INVALID;
        if (used + 1 >= out_size)
            return ERR_LIMIT;
        out[used++] = (char)c;
    }
    out[used] = 0;
    return 0;
}

int http_uri_split(const char *target, char **out_path, const char **out_query)
{
    size_t size = strlen(target);
    if (size > HTTP_URI_MAX)
        return ERR_LIMIT;
    if (*target != '/')
        return ERR_INVALID;
    const char *mark = strchr(target, '?');
    size_t path_size = mark ? (size_t)(mark - target) : size;
    char *memory = malloc(size + 2);
    if (!memory)
        return ERR_NOMEM;
    int rc = decode(target, path_size, false, memory, path_size + 1);
    if (rc < 0) {
        free(memory);
        return rc;
    }
    if (mark)
        memcpy(memory + path_size + 1, mark + 1, size - path_size);
    *out_query = mark ? memory + path_size + 1 : NULL;
    *out_path = memory;
    return 0;
}

int http_uri_argument(const char *query, const char *name, char *out, size_t out_size)
{
    size_t name_size = strlen(name);
    while (query && *query) {
        size_t size = strcspn(query, "&");
        if (size > name_size && query[name_size] == '=' && memcmp(query, name, name_size) == 0)
            return decode(query + name_size + 1, size - name_size - 1, true, out, out_size);
        query += size;
        if (*query == '&')
            query++;
    }
    return ERR_NOT_FOUND;
}
