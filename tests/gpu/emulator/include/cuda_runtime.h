// SPDX-License-Identifier: MIT
#ifndef DARKROOM_EMULATOR_CUDA_RUNTIME_H
#define DARKROOM_EMULATOR_CUDA_RUNTIME_H

#include <cuda_runtime_api.h>

#endif
