/* SPDX-License-Identifier: MIT
 *
 * Whether a server is worth asking. One that is gone costs whoever asks it the whole of a timeout;
 * so once somebody has waited for it in vain, and nobody was answered meanwhile, one request at a
 * time tries, and the others are refused at once, until one is answered.
 *
 *     struct reach_turn turn = reach_begin(&reach);
 *     if (!turn.may)
 *         return ERR_UNAVAILABLE;
 *     ... the request ...
 *     reach_end(&reach, &turn, answered);
 *
 * Whoever may must end. All zeroes is the beginning: the server is there. Any thread. */
#ifndef DARKROOM_COMMON_REACH_H
#define DARKROOM_COMMON_REACH_H

#include <stdatomic.h>
#include <stdbool.h>

struct reach {
    atomic_bool away;
    atomic_bool trying;  /* somebody finds out whether it still is */
    atomic_uint answers; /* so far */
};

struct reach_turn {
    bool may;
    bool alone;       /* it is who finds out */
    unsigned answers; /* when it began */
};

struct reach_turn reach_begin(struct reach *reach);

/* Whatever the answer was: whoever refuses is there. */
void reach_end(struct reach *reach, const struct reach_turn *turn, bool answered);

#endif
