/* SPDX-License-Identifier: MIT
 *
 * What backend_cuda's open() gives: for backend_cuda.c, and for tests that look inside. */
#ifndef DARKROOM_GPU_CUDA_STATE_H
#define DARKROOM_GPU_CUDA_STATE_H

#include "gpu/cuda/lanes.h"

struct cuda_state {
    struct steps steps;
    char *weights; /* owned; device */
    struct lanes lanes;
};

#endif
