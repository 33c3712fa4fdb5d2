/* SPDX-License-Identifier: MIT
 *
 * How much memory this process may use, and giving back what it has freed.
 *
 *     rc = memory_of_machine(&total, &unused, &err);
 *     memory_keep_tidy();          // first thing in main() of a program that loads large things
 *     memory_give_back();          // after freeing one
 *
 * Any thread; memory_keep_tidy() before there are others. */
#ifndef DARKROOM_COMMON_MEMORY_H
#define DARKROOM_COMMON_MEMORY_H

#include <stdint.h>

struct err;

/* Of this machine, or of the container where that has less: all of it, and what could be had now
 * without swapping. ERR_IO where the system does not tell. */
int memory_of_machine(uint64_t *out_total, uint64_t *out_free, struct err *err);

/* What this process holds of it, files that are mapped not counted; 0 where the system does not
 * tell. */
uint64_t memory_resident(void);

/* Large blocks come from the system one by one, and go back there as soon as they are freed: the C
 * library would by itself keep ever larger ones once it has seen a large one freed. */
void memory_keep_tidy(void);

/* What was freed in small pieces, in whatever thread, goes back to the system as well. Takes
 * milliseconds. */
void memory_give_back(void);

#endif
