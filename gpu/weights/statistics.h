/* SPDX-License-Identifier: MIT
 *
 * What a tensor's values are like, for people who look at a file of weights.
 *
 *     struct statistics s;
 *     statistics_of(&tensor, &s);       // s.min, s.max, s.mean, s.deviation of the finite ones
 *
 * Pure; any thread. */
#ifndef DARKROOM_GPU_WEIGHTS_STATISTICS_H
#define DARKROOM_GPU_WEIGHTS_STATISTICS_H

#include <stdint.h>

struct tensor;

struct statistics {
    int64_t finite, nan, infinite; /* how many values */
    double min, max, mean;         /* of the finite ones; 0 where there is none */
    double deviation;              /* standard deviation, dividing by their number */
};

/* Values are looked at as floats. */
void statistics_of(const struct tensor *tensor, struct statistics *out_statistics);

#endif
