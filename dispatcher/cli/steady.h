/* SPDX-License-Identifier: MIT
 *
 * How many machines a group is told to have, from how many are wanted look by look: more at once,
 * fewer only after that has been so for a while, and then the most that were wanted meanwhile.
 *
 *     struct steady steady = {.down_after_ms = 20000};
 *     count = steady_take(&steady, wanted, clock_ms());
 *
 * Pure; belongs to one thread. */
#ifndef DARKROOM_DISPATCHER_CLI_STEADY_H
#define DARKROOM_DISPATCHER_CLI_STEADY_H

#include <stdbool.h>
#include <stdint.h>

struct steady {
    int64_t down_after_ms;

    /* Of the module; 0 at first. */
    bool begun, below;
    int64_t count, most_below, below_since_ms;
};

int64_t steady_take(struct steady *steady, int64_t wanted, int64_t now_ms);

#endif
