/* SPDX-License-Identifier: MIT
 *
 * Writes a float tensor as NumPy's .npy, version 1.0.
 *
 *     rc = npy_write_f32("out.npy", (const size_t[]){1, 3, 256, 256}, 4, data, &err);
 *
 * Source: NumPy Enhancement Proposal 1. The file is little-endian, in C order. Any thread. */
#ifndef DARKROOM_WORKER_NPY_H
#define DARKROOM_WORKER_NPY_H

#include <stddef.h>

struct err;

#define NPY_MAX_DIMENSIONS 8

/* `data` is borrowed: the product of `shape` floats. A regular file that could not be
 * written whole is removed. ERR_IO, ERR_LIMIT for too many dimensions. */
int npy_write_f32(const char *path, const size_t *shape, size_t dimensions, const float *data,
                  struct err *err);

#endif
