/* SPDX-License-Identifier: MIT
 *
 * Large pieces of memory: whole pages of their own, huge ones where the machine has them, so that
 * a stream of weights does not wait for the page tables and that all is given back when freed.
 * Any thread. */
#ifndef DARKROOM_GPU_CPU_PAGES_H
#define DARKROOM_GPU_CPU_PAGES_H

#include <stddef.h>

/* Zeroed; owned by the caller, NULL without memory. */
void *pages_allocate(size_t bytes);

/* Accepts NULL; `bytes` as they were asked for. */
void pages_free(void *memory, size_t bytes);

#endif
