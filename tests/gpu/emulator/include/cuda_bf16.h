// SPDX-License-Identifier: MIT
//
// NVIDIA's header of this name, as far as kernels here use it.
#ifndef DARKROOM_EMULATOR_CUDA_BF16_H
#define DARKROOM_EMULATOR_CUDA_BF16_H

#include "tests/gpu/emulator/halves.h"

struct __nv_bfloat16 {
    uint16_t bits;
};

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

static inline float __bfloat162float(__nv_bfloat16 h)
{
    return emulator::bf16_to_float(h.bits);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float f)
{
    return __nv_bfloat16{emulator::bf16_from_float(f)};
}
static inline __nv_bfloat16 __float2bfloat16(float f)
{
    return __float2bfloat16_rn(f);
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return __nv_bfloat162{__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
static inline float __low2float(__nv_bfloat162 h)
{
    return __bfloat162float(h.x);
}
static inline float __high2float(__nv_bfloat162 h)
{
    return __bfloat162float(h.y);
}

#endif
