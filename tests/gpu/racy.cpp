// SPDX-License-Identifier: MIT
#include "tests/gpu/racy.h"

#include "gpu/cuda/launch.cuh"

namespace
{

// Turns 64 values round; the two warps meet where they have to, or do not.
void turn_round(float *values, int with_barrier)
{
    float *shared = (float *)launch_shared();
    shared[threadIdx.x] = values[threadIdx.x];
    if (with_barrier)
        __syncthreads();
    values[threadIdx.x] = shared[63 - threadIdx.x];
}

} // namespace

int racy_run(int with_barrier)
{
    void *values = nullptr;
    cudaStream_t stream = nullptr;
    cudaError_t status = cudaMalloc(&values, 64 * sizeof(float));
    if (status == cudaSuccess)
        status = cudaMemset(values, 0, 64 * sizeof(float));
    if (status == cudaSuccess)
        status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (status == cudaSuccess)
        status = launch(turn_round, dim3(3), dim3(64), 64 * sizeof(float), stream, (float *)values,
                        with_barrier);
    if (status == cudaSuccess)
        status = cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
    cudaFree(values);
    return (int)status;
}
