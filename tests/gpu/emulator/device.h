// SPDX-License-Identifier: MIT
//
// What nvcc knows without an include; the kernels are compiled with -include of this file.
// Only what kernels here use: a name that is missing is a decision to make.
#ifndef DARKROOM_EMULATOR_DEVICE_H
#define DARKROOM_EMULATOR_DEVICE_H

#include "tests/gpu/emulator/block.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __CUDA_ARCH__ EMULATED_ARCH
#if EMULATED_ARCH == 900
#define __CUDA_ARCH_FEAT_SM90_ALL 1
#endif

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
#define __grid_constant__
// One block runs at a time.
#define __shared__ static

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = emulator::WARP;

// Vectors are aligned as a device wants them, so that a cast to them is checked by the sanitizer.
#define EMULATOR_VECTORS(type, name, bytes)                                                        \
    struct alignas(2 * (bytes)) name##2                                                            \
    {                                                                                              \
        type x, y;                                                                                 \
    };                                                                                             \
    struct alignas(4 * (bytes)) name##4                                                            \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    static inline name##2 make_##name##2(type x, type y)                                           \
    {                                                                                              \
        name##2 v = {x, y};                                                                        \
        return v;                                                                                  \
    }                                                                                              \
    static inline name##4 make_##name##4(type x, type y, type z, type w)                           \
    {                                                                                              \
        name##4 v = {x, y, z, w};                                                                  \
        return v;                                                                                  \
    }
EMULATOR_VECTORS(float, float, 4)
EMULATOR_VECTORS(int, int, 4)
EMULATOR_VECTORS(unsigned, uint, 4)
#undef EMULATOR_VECTORS

static inline void __syncthreads()
{
    emulator::barrier_wait(0, 0);
}

static inline void __syncwarp(unsigned mask = 0xffffffff)
{
    emulator::warp_sync(mask);
}

static inline void __threadfence()
{
}

template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    return emulator::shuffle(mask, value, emulator::SHUFFLE_INDEX, source, width);
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32)
{
    return emulator::shuffle(mask, value, emulator::SHUFFLE_XOR, lanes, width);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, int lanes, int width = 32)
{
    return emulator::shuffle(mask, value, emulator::SHUFFLE_DOWN, lanes, width);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, int lanes, int width = 32)
{
    return emulator::shuffle(mask, value, emulator::SHUFFLE_UP, lanes, width);
}

// Whole numbers only: sums of floats would depend on the order.
static inline int atomicMin(int *at, int value)
{
    const int old = *at;
    *at = std::min(old, value);
    return old;
}
static inline int atomicAdd(int *at, int value)
{
    const int old = *at;
    *at = old + value;
    return old;
}

template <typename T> T __ldg(const T *at)
{
    return *at;
}

using std::isfinite;
using std::max;
using std::min;

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
// The C library has a function of this name for itself.
#define __expf(x) expf(x)
static inline float __fdividef(float a, float b)
{
    return a / b;
}
static inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float __uint_as_float(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline int __float_as_int(float x)
{
    return (int)__float_as_uint(x);
}
static inline float __int_as_float(int bits)
{
    return __uint_as_float((unsigned)bits);
}

#endif
