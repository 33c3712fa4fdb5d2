/* SPDX-License-Identifier: MIT
 *
 * What the GPU multiplies and adds at most in a type: products of matrices that never leave the
 * multiprocessors, with the instruction that the convolutions use. */
#ifndef DARKROOM_GPU_CUDA_PEAK_H
#define DARKROOM_GPU_CUDA_PEAK_H

#include "gpu/cuda/kernels.h"

struct err;

#ifdef __cplusplus
extern "C" {
#endif

/* Rounds of the kernel's loop on each of `blocks` blocks; what it computes goes to out[blocks], so
 * that it is not left out. */
cudaError_t kernel_peak(enum kernel_type type, int arch, int blocks, int rounds, float *out,
                        cudaStream_t stream);
/* Multiplications and additions of one block in one round. */
double kernel_peak_flops(enum kernel_type type, int arch);

/* In FLOP/s. ERR_NOMEM, ERR_DEVICE. */
int peak_measure(enum kernel_type type, int arch, double *out_flops, struct err *err);

#ifdef __cplusplus
}
#endif

#endif
