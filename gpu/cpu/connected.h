/* SPDX-License-Identifier: MIT
 *
 * A fully connected layer for one picture: as fast as its weights can be read. Full's first one
 * has a gigabyte of them, so they stay where they are mapped. Any thread. */
#ifndef DARKROOM_GPU_CPU_CONNECTED_H
#define DARKROOM_GPU_CPU_CONNECTED_H

struct tensor;

/* out[f] = sum over i of weight[f][i] * in[i], + bias[f] where it has data. All pointers are
 * borrowed. */
void connected_run(const struct tensor *weight, const struct tensor *bias, const float *in,
                   float *out);

#endif
