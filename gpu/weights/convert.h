/* SPDX-License-Identifier: MIT
 *
 * Any file of weights as safetensors: our own format, which opens in no time because it is mapped.
 *
 *     rc = convert_to_safetensors(weights, "selfie2anime.safetensors", TENSOR_F16, &err);
 *
 * Names stay as they are; attributes become the file's metadata. The data begins at a multiple of
 * 64 bytes, and so does every tensor of a multiple of 64 bytes, as these come first: the format
 * has no gaps between tensors. Any thread. */
#ifndef DARKROOM_GPU_WEIGHTS_CONVERT_H
#define DARKROOM_GPU_WEIGHTS_CONVERT_H

#include "gpu/tensor.h"

struct err;
struct weights;

/* Floats of any type become `floats`, TENSOR_F32 or TENSOR_F16; integers and truth values stay.
 * The file appears complete or not at all. ERR_INVALID, naming the tensor, where a value is too
 * large for half precision; ERR_LIMIT (names and metadata together), ERR_IO, ERR_NOMEM. */
int convert_to_safetensors(const struct weights *weights, const char *path, enum tensor_type floats,
                           struct err *err);

#endif
