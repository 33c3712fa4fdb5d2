/* SPDX-License-Identifier: MIT
 *
 * How kernels are started and where their shared memory is: nothing else in gpu/cuda does either.
 *
 *     __global__ void add(int count, float *values)
 *     {
 *         float *sums = (float *)launch_shared();
 *         …
 *     }
 *     return launch(add, dim3(blocks), dim3(256), bytes, stream, count, values);
 *
 * The tests build the same kernels on another launch.cuh, which runs them on the processor. */
#ifndef DARKROOM_GPU_CUDA_LAUNCH_CUH
#define DARKROOM_GPU_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

/* A block gets more only after its kernel asked for it. */
#define LAUNCH_SHARED_WITHOUT_ASKING (48 * 1024)

/* The dynamic shared memory of this block, aligned to 1,024 bytes as wgmma's swizzle needs it. */
static __device__ __forceinline__ unsigned char *launch_shared()
{
    extern __shared__ __align__(1024) unsigned char launch_shared_memory[];
    return launch_shared_memory;
}

template <typename... Params, typename... Args>
cudaError_t launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, Args... args)
{
    if (shared_bytes > LAUNCH_SHARED_WITHOUT_ASKING) {
        cudaError_t status = cudaFuncSetAttribute(
            (const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
        if (status != cudaSuccess)
            return status;
    }
    kernel<<<grid, block, shared_bytes, stream>>>(args...);
    return cudaGetLastError();
}

#endif
