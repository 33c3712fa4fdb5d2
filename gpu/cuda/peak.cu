/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/peak.h"

#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/ptx.cuh"

namespace
{

const int THREADS = 256;
/* Products that do not wait for each other. */
const int CHAINS = 8;
const int WGMMA_N = 128;
const int WGMMA_STEPS = 4; /* of k16 */

/* Pairs of values in ±[0.5, 1): zeros would need less power, and run faster, than a network's. */
template <typename T> __device__ uint32_t pair_of(uint32_t seed)
{
    const uint32_t bits = (seed + 1) * 2654435761u;
    return std::is_same<T, __half>::value ? (bits & 0x83ff83ff) | 0x38003800
                                          : (bits & 0x807f807f) | 0x3f003f00;
}

__global__ void plain(int rounds, float *out)
{
    float sums[CHAINS];
    const float factor = 1.0f - 1e-3f * threadIdx.x;
    for (int i = 0; i < CHAINS; i++)
        sums[i] = (float)i;
    for (int round = 0; round < rounds; round++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            sums[i] = sums[i] * factor + 0.5f;
    float sum = 0.0f;
    for (int i = 0; i < CHAINS; i++)
        sum += sums[i];
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
}

template <typename T> __global__ void warps(int rounds, float *out)
{
    float sums[CHAINS][4] = {};
    uint32_t a[4];
    for (int i = 0; i < 4; i++)
        a[i] = pair_of<T>(threadIdx.x * 4 + i);
    const uint32_t b0 = pair_of<T>(threadIdx.x + 77), b1 = pair_of<T>(threadIdx.x + 78);
    for (int round = 0; round < rounds; round++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            ptx_mma_m16n8k16<T>(sums[i], a, b0, b1);
    float sum = 0.0f;
    for (int i = 0; i < CHAINS; i++)
        sum += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
}

/* Rows of 128 bytes of the two operands: each warpgroup has its own 64 rows of A. */
const int A_BYTES = THREADS / 128 * 64 * 128, B_BYTES = WGMMA_N * 128;

template <typename T> __global__ void warpgroups(int rounds, float *out)
{
#if PTX_HAS_WGMMA
    unsigned char *shared = launch_shared();
    for (int i = threadIdx.x; i < (A_BYTES + B_BYTES) / 4; i += THREADS)
        ((uint32_t *)shared)[i] = pair_of<T>(i);
    ptx_fence_proxy_async();
    __syncthreads();
    const unsigned char *a = shared + threadIdx.x / 128 * 64 * 128, *b = shared + A_BYTES;
    float sums[WGMMA_N / 2] = {};
    for (int round = 0; round < rounds; round++) {
        ptx_wgmma_hold(sums);
        ptx_wgmma_fence();
#pragma unroll
        for (int step = 0; step < WGMMA_STEPS; step++)
            ptx_wgmma_m64k16<T, WGMMA_N>(sums, ptx_wgmma_descriptor(a + 32 * step),
                                         ptx_wgmma_descriptor(b + 32 * step));
        ptx_wgmma_commit();
        ptx_wgmma_wait<1>();
    }
    ptx_wgmma_wait<0>();
    ptx_wgmma_hold(sums);
    float sum = 0.0f;
    for (int i = 0; i < WGMMA_N / 2; i++)
        sum += sums[i];
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
#endif
}

bool has_wgmma(int arch)
{
    return arch == 90;
}

template <typename T>
cudaError_t halves(int arch, int blocks, int rounds, float *out, cudaStream_t stream)
{
    if (has_wgmma(arch))
        return launch(warpgroups<T>, dim3(blocks), dim3(THREADS), A_BYTES + B_BYTES, stream, rounds,
                      out);
    return launch(warps<T>, dim3(blocks), dim3(THREADS), 0, stream, rounds, out);
}

} // namespace

cudaError_t kernel_peak(enum kernel_type type, int arch, int blocks, int rounds, float *out,
                        cudaStream_t stream)
{
    switch (type) {
    case KERNEL_F32: return launch(plain, dim3(blocks), dim3(THREADS), 0, stream, rounds, out);
    case KERNEL_F16: return halves<__half>(arch, blocks, rounds, out, stream);
    case KERNEL_BF16: return halves<__nv_bfloat16>(arch, blocks, rounds, out, stream);
    }
    return cudaErrorInvalidValue;
}

double kernel_peak_flops(enum kernel_type type, int arch)
{
    if (type == KERNEL_F32)
        return 2.0 * THREADS * CHAINS;
    if (has_wgmma(arch))
        return 2.0 * (THREADS / 128) * 64 * WGMMA_N * 16 * WGMMA_STEPS;
    return 2.0 * (THREADS / 32) * CHAINS * 16 * 8 * 16;
}
