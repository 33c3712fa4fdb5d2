/* SPDX-License-Identifier: MIT
 *
 * What this machine's cores multiply and add at most: the yardstick of `darkroom-worker bench`.
 * One measurement at a time; any thread. */
#ifndef DARKROOM_GPU_CPU_PEAK_H
#define DARKROOM_GPU_CPU_PEAK_H

struct backend_options;
struct err;

/* The best of several products of matrices, half a second of them, with as many threads as the
 * options say: f32 by oneDNN, bf16 by our tiles. In FLOP/s, an addition and a multiplication
 * counted as two. ERR_UNSUPPORTED for f16. */
int peak_measure(const struct backend_options *options, double *out_flops, struct err *err);

#endif
