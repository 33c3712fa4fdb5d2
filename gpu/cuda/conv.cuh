/* SPDX-License-Identifier: MIT
 *
 * What the kernels of convolutions share: the way of a slice from memory to a stage of the tensor
 * cores, and their launchers. See conv_plan.h for the idea, conv_tile.cuh for the pixels,
 * conv_finish.cuh for the end. */
#ifndef DARKROOM_GPU_CUDA_CONV_CUH
#define DARKROOM_GPU_CUDA_CONV_CUH

#include "gpu/cuda/conv_finish.cuh"
#include "gpu/cuda/conv_tile.cuh"
#include "gpu/cuda/ptx.cuh"

/* A stage of the tensor cores' kernels, in pieces of 16 bytes: A [PIXELS][PIECES] and then
 * B [OUTPUTS][PIECES], whose rows' pieces are exchanged (conv_pack.c does it to the weights) so
 * that eight rows' pieces of one number lie in eight different groups of banks. */
template <int PIXELS, int PIECES, int OUTPUTS> struct conv_stage {
    static const int b = PIXELS * PIECES;
    static const int all = b + OUTPUTS * PIECES;

    static __device__ __forceinline__ int at(int row, int piece)
    {
        return row * PIECES + (piece ^ (PIECES == 8 ? row & 7 : row >> 1 & 3));
    }

    /* Starts the copies of the slice that `walk` is at, and moves it on. Each thread has the same
     * piece of several rows. */
    template <typename T>
    static __device__ __forceinline__ void
    load(const struct conv_plan &plan, struct conv_block<PIXELS> *block, struct conv_walk &walk,
         const T *picture, const value_piece<T> *weight, value_piece<T> *to)
    {
        const int piece = (int)threadIdx.x % PIECES, first = (int)threadIdx.x / PIECES;
#pragma unroll
        for (int row = first; row < PIXELS; row += CONV_THREADS / PIECES) {
            const int from = block->source(walk, row);
            ptx_cp_async_16_cached(to + at(row, piece), picture + (size_t)max(from, 0) * CONV_PIECE,
                                   from >= 0);
        }
#pragma unroll
        for (int i = (int)threadIdx.x; i < OUTPUTS * PIECES; i += CONV_THREADS)
            ptx_cp_async_16(to + b + i, weight + i, true);
        walk.next(plan, block->tile.phase);
    }
};

/* Kernel<T, OUTPUTS>::run() of the half type and the tile's outputs. */
template <template <typename, int> class Kernel, typename T>
static cudaError_t conv_run_outputs(const struct conv_plan *plan, const dim3 &grid, const void *in,
                                    const void *weight, void *out, float *partials,
                                    cudaStream_t stream)
{
    const T *from = (const T *)in, *weights = (const T *)weight;
    switch (plan->tile_outputs) {
    case 32: return Kernel<T, 32>::run(plan, grid, from, weights, (T *)out, partials, stream);
    case 64: return Kernel<T, 64>::run(plan, grid, from, weights, (T *)out, partials, stream);
    case 128: return Kernel<T, 128>::run(plan, grid, from, weights, (T *)out, partials, stream);
    }
    return cudaErrorInvalidValue;
}

template <template <typename, int> class Kernel>
static cudaError_t conv_run_halves(enum kernel_type type, const struct conv_plan *plan,
                                   const dim3 &grid, const void *in, const void *weight, void *out,
                                   float *partials, cudaStream_t stream)
{
    if (type == KERNEL_F16)
        return conv_run_outputs<Kernel, __half>(plan, grid, in, weight, out, partials, stream);
    return conv_run_outputs<Kernel, __nv_bfloat16>(plan, grid, in, weight, out, partials, stream);
}

/* The three kernels; `partials` is NULL without statistics. */
cudaError_t conv_run_fma(const struct conv_plan *plan, const dim3 &grid, const void *in,
                         const void *weight, void *out, float *partials, cudaStream_t stream);
cudaError_t conv_run_mma(enum kernel_type type, const struct conv_plan *plan, const dim3 &grid,
                         const void *in, const void *weight, void *out, float *partials,
                         cudaStream_t stream);
cudaError_t conv_run_wgmma(enum kernel_type type, const struct conv_plan *plan, const dim3 &grid,
                           const void *in, const void *weight, void *out, float *partials,
                           cudaStream_t stream);

#endif
