/* SPDX-License-Identifier: MIT
 *
 * Values of a kernel's type on the host: how packing writes them. */
#ifndef DARKROOM_GPU_CUDA_STORE_H
#define DARKROOM_GPU_CUDA_STORE_H

#include "gpu/cuda/kernels.h"
#include "gpu/tensor.h"

static inline size_t store_size(enum kernel_type type)
{
    return type == KERNEL_F32 ? sizeof(float) : sizeof(uint16_t);
}

static inline void store_value(enum kernel_type type, void *to, size_t index, float value)
{
    switch (type) {
    case KERNEL_F32: ((float *)to)[index] = value; break;
    case KERNEL_F16: ((uint16_t *)to)[index] = tensor_f16_from_f32(value); break;
    case KERNEL_BF16: ((uint16_t *)to)[index] = tensor_f32_to_bf16(value); break;
    }
}

#endif
