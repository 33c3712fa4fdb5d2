/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/cookie.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* cookie-octet of RFC 6265, 4.1.1. */
static bool is_octet(char c)
{
    return c > ' ' && c < 0x7f && !strchr("\",;\\", c);
}

static bool is_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_octet(text[i]))
            return false;
    return true;
}

bool cookie_find(const char *header, const char *name, char *out, size_t out_size)
{
    size_t name_size = strlen(name);
    for (const char *at = header ? header : ""; *at;) {
        at += strspn(at, " \t;");
        size_t size = strcspn(at, ";");
        if (size > name_size && at[name_size] == '=' && memcmp(at, name, name_size) == 0) {
            size_t value_size = size - name_size - 1;
            while (value_size > 0 && strchr(" \t", at[name_size + value_size]))
                value_size--;
            if (value_size >= out_size || !is_value(at + name_size + 1, value_size))
                return false;
            memcpy(out, at + name_size + 1, value_size);
            out[value_size] = 0;
            return true;
        }
        at += size;
    }
    return false;
}

bool cookie_write(const struct cookie *cookie, char *out, size_t out_size)
{
    char age[40] = "";
    if (!is_value(cookie->name, strlen(cookie->name)) || strchr(cookie->name, '=') ||
        !is_value(cookie->value, strlen(cookie->value)) ||
        !is_value(cookie->path, strlen(cookie->path)) || cookie->path[0] != '/')
        return false;
    if (cookie->max_age_s >= 0)
        snprintf(age, sizeof age, "; Max-Age=%" PRId64, cookie->max_age_s);
    int size = snprintf(out, out_size, "%s=%s; Path=%s%s%s%s; SameSite=%s", cookie->name,
                        cookie->value, cookie->path, age, cookie->hidden ? "; HttpOnly" : "",
                        cookie->secure ? "; Secure" : "", cookie->strict ? "Strict" : "Lax");
    return size > 0 && (size_t)size < out_size;
}
