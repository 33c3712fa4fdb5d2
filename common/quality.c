/* SPDX-License-Identifier: MIT */
#include "common/quality.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* The value of "q=" in thousandths; -1 where it is none (RFC 9110: at most three decimals). */
static int read_weight(const char *at, const char *end)
{
    int weight, unit = 100;
    if (at == end || (*at != '0' && *at != '1'))
        return -1;
    weight = (*at++ - '0') * 1000;
    if (at < end && *at == '.')
        for (at++; at < end && unit > 0 && isdigit((unsigned char)*at); unit /= 10)
            weight += (*at++ - '0') * unit;
    while (at < end && is_space(*at))
        at++;
    return at == end && weight <= 1000 ? weight : -1;
}

/* Among the parameters from `at`, which stands at a ';', the weight. */
static int find_weight(const char *at, const char *end)
{
    while (at < end) {
        at++;
        while (at < end && is_space(*at))
            at++;
        const char *stop = memchr(at, ';', (size_t)(end - at));
        if (!stop)
            stop = end;
        if (stop - at >= 2 && (at[0] == 'q' || at[0] == 'Q') && at[1] == '=')
            return read_weight(at + 2, stop);
        at = stop;
    }
    return 1000;
}

bool quality_next(const char **at, struct quality_item *out)
{
    while (**at) {
        const char *start = *at, *end = start + strcspn(start, ","), *stop;
        *at = end + (*end == ',');
        while (start < end && is_space(*start))
            start++;
        for (stop = start; stop < end && !is_space(*stop) && *stop != ';';)
            stop++;
        out->name = start;
        out->size = (size_t)(stop - start);
        while (stop < end && is_space(*stop))
            stop++;
        out->weight = stop < end && *stop != ';' ? -1 : find_weight(stop, end);
        if (out->size > 0 && out->weight >= 0)
            return true;
    }
    return false;
}

static bool is(const struct quality_item *item, const char *name)
{
    return item->size == strlen(name) && strncasecmp(item->name, name, item->size) == 0;
}

int quality_of(const char *header, const char *name)
{
    struct quality_item item;
    int any = 0;
    for (int i = 0; header && i < QUALITY_MAX_ITEMS && quality_next(&header, &item); i++) {
        if (is(&item, name))
            return item.weight;
        if (is(&item, "*"))
            any = item.weight;
    }
    return any;
}

bool quality_names(const char *header, const char *name)
{
    struct quality_item item;
    for (int i = 0; header && i < QUALITY_MAX_ITEMS && quality_next(&header, &item); i++)
        if (is(&item, name))
            return item.weight > 0;
    return false;
}
