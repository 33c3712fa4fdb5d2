// SPDX-License-Identifier: MIT
//
// NVIDIA's header of this name, as far as kernels here use it.
#ifndef DARKROOM_EMULATOR_CUDA_FP16_H
#define DARKROOM_EMULATOR_CUDA_FP16_H

#include "tests/gpu/emulator/halves.h"

struct __half {
    uint16_t bits;
};

struct alignas(4) __half2 {
    __half x, y;
};

static inline float __half2float(__half h)
{
    return emulator::f16_to_float(h.bits);
}
static inline __half __float2half_rn(float f)
{
    return __half{emulator::f16_from_float(f)};
}
static inline __half __float2half(float f)
{
    return __float2half_rn(f);
}
static inline __half2 __floats2half2_rn(float x, float y)
{
    return __half2{__float2half_rn(x), __float2half_rn(y)};
}
static inline float __low2float(__half2 h)
{
    return __half2float(h.x);
}
static inline float __high2float(__half2 h)
{
    return __half2float(h.y);
}
static inline __half2 __halves2half2(__half x, __half y)
{
    return __half2{x, y};
}

#endif
