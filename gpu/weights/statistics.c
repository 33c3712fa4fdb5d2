/* SPDX-License-Identifier: MIT */
#include "gpu/weights/statistics.h"

#include "gpu/tensor.h"

#include <math.h>

#define PIECE 4096

struct sums {
    double sum, squares; /* of the distances from `origin`, so that they do not cancel out */
    double origin;
};

static void take(struct statistics *s, struct sums *sums, float value)
{
    const double x = (double)value;
    if (isnan(value)) {
        s->nan++;
        return;
    }
    if (isinf(value)) {
        s->infinite++;
        return;
    }
    if (s->finite++ == 0)
        s->min = s->max = sums->origin = x;
    s->min = x < s->min ? x : s->min;
    s->max = x > s->max ? x : s->max;
    sums->sum += x - sums->origin;
    sums->squares += (x - sums->origin) * (x - sums->origin);
}

void statistics_of(const struct tensor *tensor, struct statistics *out_statistics)
{
    struct statistics s = {0};
    struct sums sums = {0};
    const int64_t count = tensor_count(tensor);
    float piece[PIECE];
    for (int64_t first = 0; first < count; first += PIECE) {
        const int64_t size = count - first < PIECE ? count - first : PIECE;
        tensor_part_to_f32(tensor, first, size, piece);
        for (int64_t i = 0; i < size; i++)
            take(&s, &sums, piece[i]);
    }
    if (s.finite > 0) {
        const double mean = sums.sum / (double)s.finite;
        s.mean = sums.origin + mean;
        s.deviation = sqrt(fmax(0, sums.squares / (double)s.finite - mean * mean));
    }
    *out_statistics = s;
}
