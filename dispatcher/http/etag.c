/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/etag.h"

#include "common/crypto.h"
#include "dispatcher/http/server.h"

#include <stdio.h>
#include <string.h>

#define MAX_LIST 2048

int etag_of(const void *data, size_t size, char out[ETAG_SIZE])
{
    char digest[CRYPTO_SHA256_HEX_SIZE];
    int rc = crypto_sha256_hex(data, size, digest);
    if (rc == 0)
        snprintf(out, ETAG_SIZE, "\"%.32s\"", digest);
    return rc;
}

bool etag_in_list(const char *list, const char *etag)
{
    size_t size = strlen(etag);
    if (!list)
        return false;
    list += strspn(list, " \t");
    if (list[0] == '*' && list[1 + strspn(list + 1, " \t")] == 0)
        return true;
    for (; *list; list += strspn(list, " \t,")) {
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        const char *end = *list == '"' ? strchr(list + 1, '"') : NULL;
        if (!end)
            return false;
        end++;
        if ((size_t)(end - list) == size && memcmp(list, etag, size) == 0)
            return true;
        list = end;
    }
    return false;
}

bool etag_known(const struct exchange *exchange, const char *etag)
{
    char list[MAX_LIST];
    return exchange_header(exchange, "If-None-Match") &&
           exchange_header_list(exchange, "If-None-Match", list, sizeof list) &&
           etag_in_list(list, etag);
}
