/* SPDX-License-Identifier: MIT
 *
 * Weights on their way to the device: widened, what is folded in multiplied, packed as the kernels
 * read them, and sent in pieces through pinned memory, one being packed while another travels.
 *
 *     rc = upload_weights(&steps, device_memory, stream, &err);     // steps.weight_bytes
 *
 * When it returns everything has arrived. */
#ifndef DARKROOM_GPU_CUDA_UPLOAD_H
#define DARKROOM_GPU_CUDA_UPLOAD_H

#include "gpu/cuda/steps.h"

struct err;

/* ERR_NOMEM, ERR_DEVICE. `device` stays the caller's. */
int upload_weights(const struct steps *steps, void *device, cudaStream_t stream, struct err *err);

#endif
