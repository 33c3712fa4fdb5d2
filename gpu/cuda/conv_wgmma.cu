/* SPDX-License-Identifier: MIT
 *
 * Convolution on Hopper's tensor cores (sm_90a): wgmma reads both operands from shared memory, from
 * a ring of three stages that cp.async fills, while the copies of the next slice are under way.
 *
 *     stage: A [128 pixels][8 pieces], B [outputs][8 pieces], a piece being 8 channels of a tap
 *
 *                 outputs
 *              0        OUTPUTS
 *     pixels 0 ┌───────────┐
 *              │ warps 0-3 │   two warpgroups of 64 × OUTPUTS, each thread with OUTPUTS / 2 sums;
 *           64 ├───────────┤   two blocks to a multiprocessor: one multiplies while the other
 *              │ warps 4-7 │   waits, fills its ring or writes its pixels
 *          128 └───────────┘
 *
 * A row of a stage is 128 bytes, piece j of row r lies at j ^ (r % 8): wgmma's 128-byte swizzle,
 * and no two of eight rows' pieces of one number lie in the same banks.
 *
 * A slice of 64 takes each warpgroup four wgmma. Those of slice s run on while slice s + 1 is being
 * waited for, so a stage is free for its next slice only when all threads have passed the barrier
 * behind the wait for its wgmma: with three stages, copies run one slice ahead. */
#include "gpu/cuda/conv.cuh"
#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/ptx.cuh"

namespace
{

const int PIXELS = 128, PIECES = 8, STAGES = 3, AHEAD = STAGES - 2, WARPGROUP = 128;

template <int OUTPUTS> using stage = conv_stage<PIXELS, PIECES, OUTPUTS>;

template <typename T, int OUTPUTS> __host__ __device__ constexpr size_t block_offset()
{
    return conv_block_offset<T, PIXELS, OUTPUTS>(STAGES * stage<OUTPUTS>::all);
}

#if PTX_HAS_WGMMA

/* Starts the products of one slice, K is 64. */
template <typename T, int OUTPUTS>
__device__ __forceinline__ void multiply(const value_piece<T> *a, const value_piece<T> *b,
                                         float (&sum)[OUTPUTS / 2])
{
    ptx_wgmma_hold(sum);
    ptx_wgmma_fence();
#pragma unroll
    for (int step = 0; step < PIECES / 2; step++)
        ptx_wgmma_m64k16<T, OUTPUTS>(sum, ptx_wgmma_descriptor(a + 2 * step),
                                     ptx_wgmma_descriptor(b + 2 * step));
    ptx_wgmma_commit();
}

#endif

template <typename T, int OUTPUTS>
__global__ void __launch_bounds__(CONV_THREADS, 2)
    conv(const struct conv_plan plan, const T *in, const T *weight, T *out, float *partials)
{
#if PTX_HAS_WGMMA
    static_assert(OUTPUTS * PIECES % CONV_THREADS == 0, "threads copy equally many pieces");
    value_piece<T> *const ring = (value_piece<T> *)launch_shared();
    struct conv_block<PIXELS> *const block =
        (struct conv_block<PIXELS> *)(launch_shared() + block_offset<T, OUTPUTS>());
    const int group = (int)threadIdx.x / WARPGROUP;
    float sum[OUTPUTS / 2] = {};
    struct conv_walk walk;

    conv_block_fill(plan, block);
    __syncthreads();
    walk.start(plan, block->tile.phase, (int)threadIdx.x % PIECES);
    const T *picture =
        in + (size_t)block->tile.picture * plan.in_h * plan.in_w * plan.in_pieces * CONV_PIECE;
    const int slices = block->tile.phase.slices;
    const value_piece<T> *from =
        (const value_piece<T> *)weight + conv_first_stage(block->tile) * OUTPUTS * PIECES;
    for (int s = 0; s < AHEAD; s++) {
        if (s < slices)
            stage<OUTPUTS>::load(plan, block, walk, picture, from + s * OUTPUTS * PIECES,
                                 ring + s * stage<OUTPUTS>::all);
        ptx_cp_async_commit();
    }
    for (int s = 0; s < slices; s++) {
        /* Slice s is here for all, and all are done with slice s - 2, whose stage comes next. */
        ptx_cp_async_wait<AHEAD - 1>();
        ptx_fence_proxy_async();
        __syncthreads();
        const value_piece<T> *now = ring + s % STAGES * stage<OUTPUTS>::all;
        multiply<T, OUTPUTS>(now + group * PIXELS / 2 * PIECES, now + stage<OUTPUTS>::b, sum);
        const int next = s + AHEAD;
        if (next < slices)
            stage<OUTPUTS>::load(plan, block, walk, picture, from + (size_t)next * OUTPUTS * PIECES,
                                 ring + next % STAGES * stage<OUTPUTS>::all);
        ptx_cp_async_commit();
        ptx_wgmma_wait<1>();
    }
    ptx_wgmma_wait<0>();
    ptx_wgmma_hold(sum);
    __syncthreads(); /* the finished tile takes the place of the stages */

    const struct conv_staging<T, PIXELS, OUTPUTS> staging = {
        plan, block, conv_vectors_at(plan, weight), launch_shared()
    };
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < OUTPUTS / 8; j++) {
        const int row = 16 * warp + lane / 4, output = 8 * j + lane % 4 * 2;
        staging.put(row, output, sum[4 * j], sum[4 * j + 1]);
        staging.put(row + 8, output, sum[4 * j + 2], sum[4 * j + 3]);
    }
    __syncthreads();
    staging.finish(out, partials);
#endif
}

template <typename T, int OUTPUTS> struct kernel {
    static cudaError_t run(const struct conv_plan *plan, const dim3 &grid, const T *in,
                           const T *weight, T *out, float *partials, cudaStream_t stream)
    {
        const size_t bytes = block_offset<T, OUTPUTS>() + conv_block_bytes(plan);
        return launch(conv<T, OUTPUTS>, grid, dim3(CONV_THREADS), bytes, stream, *plan, in, weight,
                      out, partials);
    }
};

} // namespace

cudaError_t conv_run_wgmma(enum kernel_type type, const struct conv_plan *plan, const dim3 &grid,
                           const void *in, const void *weight, void *out, float *partials,
                           cudaStream_t stream)
{
    return conv_run_halves<kernel>(type, plan, grid, in, weight, out, partials, stream);
}
