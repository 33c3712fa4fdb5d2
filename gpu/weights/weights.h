/* SPDX-License-Identifier: MIT
 *
 * A file of named tensors, mapped into memory and checked as hostile input.
 *
 *     struct weights *weights;
 *     struct tensor t;
 *     if (weights_open("portrait-drawing.safetensors", &weights, &err) < 0) ...
 *     weights_find(weights, "conv1x1.weight", &t);
 *     weights_close(&weights);
 *
 * The format is safetensors: 8 bytes little-endian length, a JSON header, the tensors' bytes.
 * Checked on opening: the header's length and JSON, names, types (F32, F16, BF16), shapes, that
 * every tensor lies inside the file with exactly the bytes its shape needs, and that none overlap.
 * Nothing in the file is ever executed. Immutable once open: any number of threads may read. */
#ifndef DARKROOM_GPU_WEIGHTS_H
#define DARKROOM_GPU_WEIGHTS_H

#include "gpu/tensor.h"

struct err;
struct weights;

#define WEIGHTS_MAX_HEADER_BYTES (16u << 20)
#define WEIGHTS_MAX_TENSORS 4096
#define WEIGHTS_MAX_NAME_BYTES 128

/* On success *out_weights is owned by the caller. ERR_NOT_FOUND, ERR_IO, ERR_CORRUPT (cut off or
 * contradicting itself), ERR_UNSUPPORTED (a type or rank we do not handle), ERR_LIMIT, ERR_NOMEM.
 */
int weights_open(const char *path, struct weights **out_weights, struct err *err);

/* The same for bytes in memory; `data` is borrowed until weights_close(). */
int weights_open_memory(const void *data, size_t size, struct weights **out_weights,
                        struct err *err);

/* Accepts NULL inside; sets it to NULL. Tensors handed out before are dead then. */
void weights_close(struct weights **weights);

size_t weights_count(const struct weights *weights);

/* Entry `index` in name order; the name is borrowed. */
const char *weights_at(const struct weights *weights, size_t index, struct tensor *out_tensor);

/* ERR_NOT_FOUND without a text: whether that is an error is the caller's to say. */
int weights_find(const struct weights *weights, const char *name, struct tensor *out_tensor);

/* Finds `name` with exactly this shape, or says which tensor and both shapes: ERR_CORRUPT. */
int weights_require(const struct weights *weights, const char *name, int rank, const int64_t *dim,
                    struct tensor *out_tensor, struct err *err);

#endif
