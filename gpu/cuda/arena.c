/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/steps.h"

static bool live_together(const struct buffer *a, const struct buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static bool overlap(const struct buffer *a, const struct buffer *b)
{
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* Each buffer takes the lowest place where nothing lies that lives while it does; in order of their
 * first step, so that a place is taken again as soon as it is free. */
void steps_lay_out(struct steps *steps)
{
    steps->arena_bytes = 0;
    for (int i = 0; i < steps->buffer_count; i++) {
        struct buffer *b = &steps->buffer[i];
        b->offset = 0;
        for (int j = 0; j < i; j++) {
            const struct buffer *other = &steps->buffer[j];
            if (live_together(b, other) && overlap(b, other)) {
                b->offset = other->offset + other->bytes;
                j = -1; /* the new place has to be checked against all again */
            }
        }
        if (b->offset + b->bytes > steps->arena_bytes)
            steps->arena_bytes = b->offset + b->bytes;
    }
}
