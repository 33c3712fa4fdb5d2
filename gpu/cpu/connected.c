/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/connected.h"

#include "gpu/cpu/rows.h"
#include "gpu/tensor.h"

/* A piece of the input that stays in the first-level cache while rows of weights pass by. */
#define PIECE 4096
/* Rows that share a piece before the next one is loaded. */
#define GROUP 8

void connected_run(const struct tensor *weight, const struct tensor *bias, const float *in,
                   float *out)
{
    const struct row_functions *f = rows_functions();
    const char *weights = weight->data;
    const int64_t size = (int64_t)tensor_type_size(weight->type);
    const int64_t outputs = weight->dim[0], inputs = weight->dim[1];
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < outputs; first += GROUP) {
        double sums[GROUP] = {0};
        int64_t rows = outputs - first < GROUP ? outputs - first : GROUP;
        for (int64_t i = 0; i < inputs; i += PIECE) {
            int64_t n = inputs - i < PIECE ? inputs - i : PIECE;
            for (int64_t r = 0; r < rows; r++)
                sums[r] += (double)f->dot(weight->type, weights + ((first + r) * inputs + i) * size,
                                          in + i, n);
        }
        for (int64_t r = 0; r < rows; r++) {
            float shift = 0;
            if (bias->data)
                tensor_part_to_f32(bias, first + r, 1, &shift);
            out[first + r] = (float)(sums[r] + (double)shift);
        }
    }
}
