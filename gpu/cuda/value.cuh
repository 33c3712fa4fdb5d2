/* SPDX-License-Identifier: MIT
 *
 * Values of activations as floats and back, one, two or eight (a piece: 16 bytes of a half type) at
 * a time. Stored values are rounded to the nearest, ties to even. */
#ifndef DARKROOM_GPU_CUDA_VALUE_CUH
#define DARKROOM_GPU_CUDA_VALUE_CUH

#include "gpu/cuda/kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

static __device__ __forceinline__ float value_load(const float *p)
{
    return *p;
}
static __device__ __forceinline__ float value_load(const __half *p)
{
    return __half2float(*p);
}
static __device__ __forceinline__ float value_load(const __nv_bfloat16 *p)
{
    return __bfloat162float(*p);
}
static __device__ __forceinline__ void value_store(float *p, float v)
{
    *p = v;
}
static __device__ __forceinline__ void value_store(__half *p, float v)
{
    *p = __float2half_rn(v);
}
static __device__ __forceinline__ void value_store(__nv_bfloat16 *p, float v)
{
    *p = __float2bfloat16_rn(v);
}

/* Eight values that lie together, as one or two accesses of 16 bytes. */
template <typename T> struct alignas(16) value_piece {
    T value[8];
};

template <typename T>
static __device__ __forceinline__ void value_load_piece(const T *p, float (&out)[8])
{
    const value_piece<T> piece = *(const value_piece<T> *)p;
#pragma unroll
    for (int i = 0; i < 8; i++)
        out[i] = value_load(&piece.value[i]);
}

template <typename T>
static __device__ __forceinline__ void value_store_piece(T *p, const float (&in)[8])
{
    value_piece<T> piece;
#pragma unroll
    for (int i = 0; i < 8; i++)
        value_store(&piece.value[i], in[i]);
    *(value_piece<T> *)p = piece;
}

/* Two values that lie together. */
template <typename T> struct alignas(2 * sizeof(T)) value_pair {
    T value[2];
};

template <typename T>
static __device__ __forceinline__ void value_store_pair(T *p, float first, float second)
{
    value_pair<T> pair;
    value_store(&pair.value[0], first);
    value_store(&pair.value[1], second);
    *(value_pair<T> *)p = pair;
}

/* All activations that leave zero alone, without a branch: slope 1 is none, 0 ReLU. NaN stays. */
static __device__ __forceinline__ float value_bend(float v, float slope)
{
    return v < 0.0f ? v * slope : v;
}

/* The others; no KERNEL_PRELU. */
static __device__ __forceinline__ float value_act(enum kernel_act act, float v)
{
    switch (act) {
    case KERNEL_ACT_NONE:
    case KERNEL_PRELU: break;
    case KERNEL_RELU: return value_bend(v, 0.0f);
    case KERNEL_SIGMOID: return 1.0f / (1.0f + expf(-v));
    case KERNEL_TANH: return tanhf(v);
    }
    return v;
}

/* Calls f with a null pointer of the type that `type` names; what f gives. */
template <typename F> static cudaError_t value_with_type(enum kernel_type type, F f)
{
    switch (type) {
    case KERNEL_F32: return f((float *)nullptr);
    case KERNEL_F16: return f((__half *)nullptr);
    case KERNEL_BF16: return f((__nv_bfloat16 *)nullptr);
    }
    return cudaErrorInvalidValue;
}

#endif
