/* SPDX-License-Identifier: MIT
 *
 * One piece of memory for everything that a plan computes between its steps. Buffers that are
 * never alive at the same time share a place.
 *
 *     struct arena arena = {0};
 *     int buffer = arena_reserve(&arena, bytes);     // while compiling
 *     arena_use(&arena, buffer, step);               // each step that reads or writes it
 *     rc = arena_lay_out(&arena);                    // once, when all steps are known
 *     char *place = arena_place(&arena, buffer);
 *     arena_fini(&arena);
 *
 * Belongs to the thread of its plan. */
#ifndef DARKROOM_GPU_CPU_ARENA_H
#define DARKROOM_GPU_CPU_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_MAX_BUFFERS 1024
#define ARENA_ALIGNMENT 64

struct arena_buffer {
    int64_t bytes;   /* a multiple of ARENA_ALIGNMENT */
    int first, last; /* steps that use it; -1: none */
    int64_t offset;
};

struct arena {
    struct arena_buffer buffers[ARENA_MAX_BUFFERS];
    int count;
    size_t bytes; /* of the memory; 0 before arena_lay_out() */
    char *memory; /* owned */
};

/* The new buffer's number; ERR_LIMIT. */
int arena_reserve(struct arena *arena, int64_t bytes);

/* Steps are numbered in the order in which they run. */
void arena_use(struct arena *arena, int buffer, int step);

/* ERR_NOMEM. */
int arena_lay_out(struct arena *arena);

static inline char *arena_place(const struct arena *arena, int buffer)
{
    return arena->memory + arena->buffers[buffer].offset;
}

void arena_fini(struct arena *arena);

#endif
