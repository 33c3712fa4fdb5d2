/* SPDX-License-Identifier: MIT */
#include "common/reach.h"

struct reach_turn reach_begin(struct reach *reach)
{
    struct reach_turn turn = {.may = true, .answers = atomic_load(&reach->answers)};
    if (atomic_load(&reach->away))
        turn.may = turn.alone = !atomic_exchange(&reach->trying, true);
    return turn;
}

void reach_end(struct reach *reach, const struct reach_turn *turn, bool answered)
{
    if (answered) {
        atomic_fetch_add(&reach->answers, 1);
        atomic_store(&reach->away, false);
    } else if (atomic_load(&reach->answers) == turn->answers) {
        atomic_store(&reach->away, true);
    }
    if (turn->alone)
        atomic_store(&reach->trying, false);
}
