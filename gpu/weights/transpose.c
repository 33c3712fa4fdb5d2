/* SPDX-License-Identifier: MIT
 *
 * Tensors with their axes in another order. */
#include "gpu/weights/table.h"

#include <string.h>

/* Values that are next to each other in the source and go to this many places at a time: a cache
 * line is then read once, whatever lies between its values in the result. */
#define BLOCK 16
#define MAX_VALUE_SIZE 8

/* Axes of the result, with strides in values. `run` is the axis along which the source is packed;
 * the last axis is the one along which the result is. */
struct axes {
    int rank, run;
    int64_t dim[TENSOR_MAX_RANK], from[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
};

/* The next place in all axes but `run` and the last; false after the last place. */
static bool advance(const struct axes *a, int64_t *at)
{
    for (int i = a->rank - 2; i >= 0; i--) {
        if (i == a->run)
            continue;
        if (++at[i] < a->dim[i])
            return true;
        at[i] = 0;
    }
    return false;
}

/* Through a piece on the stack, so that whole lines are written: lines that are megabytes apart
 * share a few places in the cache and would throw each other out between two values. */
static inline void copy_block(const struct axes *a, size_t size, const unsigned char *from,
                              unsigned char *to, int64_t width)
{
    const int last = a->rank - 1;
    unsigned char piece[BLOCK][BLOCK * MAX_VALUE_SIZE];
    for (int64_t i = 0; i < a->dim[last]; i += BLOCK) {
        const int64_t run = a->dim[last] - i < BLOCK ? a->dim[last] - i : BLOCK;
        for (int64_t j = 0; j < run; j++)
            for (int64_t k = 0; k < width; k++)
                memcpy(piece[k] + (size_t)j * size,
                       from + (size_t)((i + j) * a->from[last] + k) * size, size);
        for (int64_t k = 0; k < width; k++)
            memcpy(to + (size_t)(i + k * a->to[a->run]) * size, piece[k], (size_t)run * size);
    }
}

static inline void copy(const struct axes *a, size_t size, const unsigned char *from,
                        unsigned char *to)
{
    for (int64_t k = 0; k < a->dim[a->run]; k += BLOCK) {
        const int64_t width = a->dim[a->run] - k < BLOCK ? a->dim[a->run] - k : BLOCK;
        int64_t at[TENSOR_MAX_RANK] = {0};
        do {
            int64_t source = k, target = k * a->to[a->run];
            for (int i = 0; i < a->rank - 1; i++) {
                source += i == a->run ? 0 : at[i] * a->from[i];
                target += i == a->run ? 0 : at[i] * a->to[i];
            }
            copy_block(a, size, from + (size_t)source * size, to + (size_t)target * size, width);
        } while (advance(a, at));
    }
}

/* Where the last axis stays the last: whole rows. */
static void copy_rows(const struct axes *a, size_t size, const unsigned char *from,
                      unsigned char *to)
{
    const size_t row = (size_t)a->dim[a->rank - 1] * size;
    int64_t at[TENSOR_MAX_RANK] = {0};
    do {
        int64_t source = 0;
        for (int i = 0; i < a->rank - 1; i++)
            source += at[i] * a->from[i];
        memcpy(to, from + (size_t)source * size, row);
        to += row;
    } while (advance(a, at));
}

static void copy_all(const struct axes *a, size_t size, const void *from, void *to)
{
    if (a->run == a->rank - 1) {
        copy_rows(a, size, from, to);
        return;
    }
    switch (size) { /* a constant each, so that the compiler copies single values */
    case 1: copy(a, 1, from, to); break;
    case 2: copy(a, 2, from, to); break;
    case 4: copy(a, 4, from, to); break;
    default: copy(a, 8, from, to); break;
    }
}

int table_transpose(struct table *table, const struct tensor *tensor, const int *order,
                    struct tensor *out_tensor, struct err *err)
{
    struct tensor result = *tensor;
    struct axes a = {.rank = tensor->rank};
    bool same = true;
    int64_t strides[TENSOR_MAX_RANK] = {0}, packed = 1;
    for (int i = a.rank - 1; i >= 0; packed *= tensor->dim[i--])
        strides[i] = packed;
    packed = 1;
    for (int i = a.rank - 1; i >= 0; packed *= a.dim[i--]) {
        a.dim[i] = result.dim[i] = tensor->dim[order[i]];
        a.from[i] = strides[order[i]];
        a.to[i] = packed;
        same = same && order[i] == i;
        if (order[i] == a.rank - 1)
            a.run = i;
    }
    if (!same) {
        int rc;
        void *data = table_alloc(table, tensor_bytes(tensor), &rc, err);
        if (!data)
            return rc;
        copy_all(&a, tensor_type_size(tensor->type), tensor->data, data);
        result.data = data;
    }
    *out_tensor = result;
    return 0;
}
