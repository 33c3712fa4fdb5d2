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
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline float2 make_float2(float x, float y)
{
    return float2{x, y};
}
static inline float4 make_float4(float x, float y, float z, float w)
{
    return float4{x, y, z, w};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return uint4{x, y, z, w};
}

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
static inline int atomicAdd(int *at, int value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
static inline int atomicMin(int *at, int value)
{
    int old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED)) {
    }
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
