/* SPDX-License-Identifier: MIT
 *
 * A float tensor as NumPy's .npy, version 1.0.
 *
 *     rc = npy_append_f32(&buf, (const size_t[]){1, 3, 256, 256}, 4, data, &err);
 *
 * Source: NumPy Enhancement Proposal 1. Little-endian, in C order. Pure; any thread. */
#ifndef DARKROOM_WORKER_NPY_H
#define DARKROOM_WORKER_NPY_H

#include <stddef.h>

struct buf;
struct err;

#define NPY_MAX_DIMENSIONS 8

/* Appends the whole file. `data` is borrowed: the product of `shape` floats. ERR_LIMIT for too
 * many dimensions or past the buffer's maximum. */
int npy_append_f32(struct buf *out, const size_t *shape, size_t dimensions, const float *data,
                   struct err *err);

#endif
