/* SPDX-License-Identifier: MIT
 *
 * Lists of what a client likes, with weights (RFC 9110, 12.4.2): Accept, Accept-Encoding,
 * Accept-Language.
 *
 *     while (quality_next(&header, &item))
 *         if (item.weight > 0) ... item.name, item.size ...
 *     weight = quality_of(header, "br");
 *
 * Pure functions, any thread. */
#ifndef DARKROOM_COMMON_QUALITY_H
#define DARKROOM_COMMON_QUALITY_H

#include <stdbool.h>
#include <stddef.h>

#define QUALITY_MAX_ITEMS 32 /* that quality_of() looks at */

struct quality_item {
    const char *name; /* borrowed from the header; `size` bytes, without parameters */
    size_t size;
    int weight; /* thousandths, 1000 where none is given */
};

/* The next item of a list; `*at` moves behind it. What cannot be read is passed over. False: there
 * are no more. */
bool quality_next(const char **at, struct quality_item *out);

/* The weight of `name`, in any case, or of "*" where it is not named; 0: not wanted, also where
 * `header` is NULL. */
int quality_of(const char *header, const char *name);

/* Is `name` itself in the list, and wanted? */
bool quality_names(const char *header, const char *name);

#endif
