/* SPDX-License-Identifier: MIT
 *
 * The GPU as the backend sees it: errors as ours, memory, which architecture it is.
 *
 *     rc = device_check(KERNEL_BF16, &arch, &err);     // ERR_UNSUPPORTED: none, or too old
 *     rc = device_allocate(&memory, bytes, "weights", &err);
 *     rc = device_failed(cudaStreamSynchronize(stream), "running the network", &err);
 *
 * Memory that does not suffice is ERR_NOMEM, with how much is missing: other models go on. Any
 * other failure is ERR_DEVICE: a fault of a kernel spoils the process's context for good. */
#ifndef DARKROOM_GPU_CUDA_DEVICE_H
#define DARKROOM_GPU_CUDA_DEVICE_H

#include "gpu/cuda/kernels.h"

struct err;

/* A status as an error, 0 for success; `what` was going on. */
int device_failed(cudaError_t status, const char *what, struct err *err);

/* Owned by the caller: cudaFree(), cudaFreeHost(). On failure *out is as it was. */
int device_allocate(void **out, size_t bytes, const char *what, struct err *err);
int device_allocate_pinned(void **out, size_t bytes, const char *what, struct err *err);

/* Makes the GPU that is used current in the calling thread. */
int device_use(struct err *err);

/* 10 * major + minor, where it can compute in `type`. */
int device_check(enum kernel_type type, int *out_arch, struct err *err);

#endif
