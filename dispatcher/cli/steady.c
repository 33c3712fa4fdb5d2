/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/steady.h"

int64_t steady_take(struct steady *steady, int64_t wanted, int64_t now_ms)
{
    if (!steady->begun || wanted >= steady->count) {
        steady->begun = true;
        steady->below = false;
        steady->count = wanted;
        return steady->count;
    }
    if (!steady->below) {
        steady->below = true;
        steady->below_since_ms = now_ms;
        steady->most_below = wanted;
    }
    if (wanted > steady->most_below)
        steady->most_below = wanted;
    if (now_ms - steady->below_since_ms >= steady->down_after_ms) {
        steady->below = false;
        steady->count = steady->most_below;
    }
    return steady->count;
}
