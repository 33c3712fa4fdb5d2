/* SPDX-License-Identifier: MIT
 *
 * Steps put into a stream, one launch after the other: as they are, or while a graph records them.
 *
 *     const struct execution e = {.steps = &steps, .pictures = 4, .stream = stream, …};
 *     rc = device_failed(execute(&e), "running the network", &err);
 *
 * Every pointer is device memory, borrowed until the stream has come past. */
#ifndef DARKROOM_GPU_CUDA_EXECUTE_H
#define DARKROOM_GPU_CUDA_EXECUTE_H

#include "gpu/cuda/steps.h"

/* What *bad holds while every layer was fine: memset() with 0x7f. */
#define EXECUTE_NONE_BAD 0x7f7f7f7f

struct execution {
    const struct steps *steps;
    int pictures;
    const char *weights; /* [steps.weight_bytes] */
    char *arena;         /* [pictures][steps.arena_bytes] */
    float *workspace;    /* [pictures][steps.workspace_floats] */
    const float *in;     /* [pictures][in_values] */
    float *out;          /* [pictures][out_values] */
    float *heat;         /* [pictures][heat_values] */
    int *bad;            /* becomes the least layer that gave NaN or infinity */
    cudaStream_t stream;
};

/* The first error of a launch; what was launched before it runs. */
cudaError_t execute(const struct execution *e);

#endif
