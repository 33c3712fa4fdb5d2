/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/arena.h"

#include "common/err.h"
#include "gpu/cpu/pages.h"

#include <stdbool.h>

int arena_reserve(struct arena *arena, int64_t bytes)
{
    if (arena->count == ARENA_MAX_BUFFERS)
        return ERR_LIMIT;
    arena->buffers[arena->count] = (struct arena_buffer){
        .bytes = (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT,
        .first = -1,
        .last = -1,
    };
    return arena->count++;
}

void arena_use(struct arena *arena, int buffer, int step)
{
    struct arena_buffer *b = &arena->buffers[buffer];
    if (b->first < 0)
        b->first = step;
    b->last = step;
}

/* Gives each buffer the lowest place where it overlaps nobody who lives at the same time. */
int arena_lay_out(struct arena *arena)
{
    for (int i = 0; i < arena->count; i++) {
        struct arena_buffer *b = &arena->buffers[i];
        b->offset = 0;
        for (int j = 0; j < i; j++) {
            const struct arena_buffer *other = &arena->buffers[j];
            bool together = other->first <= b->last && b->first <= other->last;
            if (together && other->offset < b->offset + b->bytes &&
                b->offset < other->offset + other->bytes) {
                b->offset = other->offset + other->bytes;
                j = -1; /* the new place has to be checked against all again */
            }
        }
        if ((size_t)(b->offset + b->bytes) > arena->bytes)
            arena->bytes = (size_t)(b->offset + b->bytes);
    }
    arena->memory = pages_allocate(arena->bytes);
    return arena->memory ? 0 : ERR_NOMEM;
}

void arena_fini(struct arena *arena)
{
    pages_free(arena->memory, arena->bytes);
    *arena = (struct arena){0};
}
