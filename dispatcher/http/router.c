/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/router.h"

#include "common/err.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* True if the path fits; the captures are then filled. */
static bool fits(const char *pattern, const char *path, struct router_match *match)
{
    int captures = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        bool rest = pattern[1] == '*';
        size_t size = rest ? strlen(path) : strcspn(path, "/");
        if (size < 1)
            return false;
        match->captures[captures] = path;
        match->capture_sizes[captures++] = size;
        path += size;
        pattern += rest ? 3 : 2;
    }
    return *path == 0;
}

int router_find(const struct route *routes, size_t count, enum method method, const char *path,
                struct router_match *out)
{
    unsigned bit = 1u << (method == METHOD_HEAD ? METHOD_GET : method);
    out->route = NULL;
    out->allowed = 0;
    for (size_t i = 0; i < count; i++) {
        if (!fits(routes[i].pattern, path, out))
            continue;
        if (routes[i].methods & bit) {
            out->route = &routes[i];
            return 0;
        }
        out->allowed |= routes[i].methods;
    }
    return out->allowed ? ERR_UNSUPPORTED : ERR_NOT_FOUND;
}

bool router_capture(const struct router_match *match, int index, char *out, size_t out_size)
{
    size_t size = match->capture_sizes[index];
    if (size >= out_size)
        return false;
    memcpy(out, match->captures[index], size);
    out[size] = 0;
    return true;
}

void router_allow_text(unsigned methods, char out[64])
{
    static const char *const names[] = {"GET, HEAD", NULL, "POST", "PUT", "DELETE", "OPTIONS"};
    size_t used = 0;
    out[0] = 0;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] && methods & 1u << i)
            used += (size_t)snprintf(out + used, 64 - used, "%s%s", used ? ", " : "", names[i]);
}
