/* SPDX-License-Identifier: MIT
 *
 * Convolution on Hopper's tensor cores (sm_90a): wgmma reads both operands from shared memory, from
 * a ring of three stages that cp.async fills, while the copies of the next slice are under way.
 *
 *     stage: A [pixels][8 pieces], B [outputs][8 pieces], a piece being 8 channels of a tap
 *
 *                 outputs
 *              0        OUTPUTS
 *     pixels 0 ┌───────────┐
 *              │ warps 0-3 │   two warpgroups of PIXELS / 2 × OUTPUTS: one or two rows of m64,
 *              ├───────────┤   each thread with OUTPUTS / 2 sums of each
 *              │ warps 4-7 │
 *       PIXELS └───────────┘
 *
 * Layers of many pixels take PIXELS = 256, one block to a multiprocessor. What limits there is the
 * way from the second-level cache: a slice of 256 × 128 brings 48 KiB for 1,024 cycles of products,
 * one of 128 × 128 32 KiB for 512; and with one block the first-level cache keeps 90 KiB, in which
 * the pixels stay that the other taps read again. Layers of few pixels take PIXELS = 128: twice as
 * many blocks, two to a multiprocessor, one multiplies while the other waits.
 *
 * A row of a stage is 128 bytes, piece j of row r lies at j ^ (r % 8): wgmma's 128-byte swizzle,
 * and no two of eight rows' pieces of one number lie in the same banks.
 *
 * Products of slice s run on while slice s + 1 is being waited for, so a stage is free for its next
 * slice only when all threads have passed the barrier behind the wait for its products: with three
 * stages, copies run one slice ahead. */
#include "gpu/cuda/conv.cuh"
#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/ptx.cuh"

namespace
{

const int PIECES = 8, STAGES = 3, AHEAD = STAGES - 2, WARPGROUP = 128, M = 64;

template <int PIXELS, int OUTPUTS> using stage = conv_stage<PIXELS, PIECES, OUTPUTS>;

template <typename T, int PIXELS, int OUTPUTS> __host__ __device__ constexpr size_t block_offset()
{
    return conv_block_offset<T, PIXELS, OUTPUTS>(STAGES * stage<PIXELS, OUTPUTS>::all);
}

#if PTX_HAS_WGMMA

/* Starts the products of one slice, K is 64, of a warpgroup's ROWS × 64 pixels. */
template <typename T, int ROWS, int OUTPUTS>
__device__ __forceinline__ void multiply(const value_piece<T> *a, const value_piece<T> *b,
                                         float (&sum)[ROWS][OUTPUTS / 2])
{
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        ptx_wgmma_hold(sum[i]);
    ptx_wgmma_fence();
#pragma unroll
    for (int step = 0; step < PIECES / 2; step++)
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            ptx_wgmma_m64k16<T, OUTPUTS>(sum[i],
                                         ptx_wgmma_descriptor(a + i * M * PIECES + 2 * step),
                                         ptx_wgmma_descriptor(b + 2 * step));
    ptx_wgmma_commit();
}

#endif

template <typename T, int PIXELS, int OUTPUTS>
__global__ void __launch_bounds__(CONV_THREADS, PIXELS == 128 ? 2 : 1)
    conv(const struct conv_plan plan, const T *in, const T *weight, T *out, float *partials)
{
#if PTX_HAS_WGMMA
    static_assert(OUTPUTS * PIECES % CONV_THREADS == 0, "threads copy equally many pieces");
    value_piece<T> *const ring = (value_piece<T> *)launch_shared();
    struct conv_block<PIXELS> *const block =
        (struct conv_block<PIXELS> *)(launch_shared() + block_offset<T, PIXELS, OUTPUTS>());
    constexpr int ROWS = PIXELS / 2 / M;
    const int first_row = (int)threadIdx.x / WARPGROUP * ROWS * M;
    float sum[ROWS][OUTPUTS / 2] = {};
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
            stage<PIXELS, OUTPUTS>::load(plan, block, walk, picture, from + s * OUTPUTS * PIECES,
                                         ring + s * stage<PIXELS, OUTPUTS>::all);
        ptx_cp_async_commit();
    }
    for (int s = 0; s < slices; s++) {
        /* Slice s is here for all, and all are done with slice s - 2, whose stage comes next. */
        ptx_cp_async_wait<AHEAD - 1>();
        ptx_fence_proxy_async();
        __syncthreads();
        const value_piece<T> *now = ring + s % STAGES * stage<PIXELS, OUTPUTS>::all;
        multiply<T, ROWS, OUTPUTS>(now + first_row * PIECES, now + stage<PIXELS, OUTPUTS>::b, sum);
        const int next = s + AHEAD;
        if (next < slices)
            stage<PIXELS, OUTPUTS>::load(plan, block, walk, picture,
                                         from + (size_t)next * OUTPUTS * PIECES,
                                         ring + next % STAGES * stage<PIXELS, OUTPUTS>::all);
        ptx_cp_async_commit();
        ptx_wgmma_wait<1>();
    }
    ptx_wgmma_wait<0>();
    __syncthreads(); /* the finished tile takes the place of the stages */

    const struct conv_staging<T, PIXELS, OUTPUTS> staging = {
        plan, block, conv_vectors_at(plan, weight), launch_shared()
    };
    const int warp = (int)threadIdx.x % WARPGROUP / 32, lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        ptx_wgmma_hold(sum[i]);
#pragma unroll
    for (int j = 0; j < OUTPUTS / 8; j++) {
        const int output = 8 * j + lane % 4 * 2, row = first_row + 16 * warp + lane / 4;
        const struct conv_ends ends = staging.ends(output);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const float *own = &sum[i][4 * j];
            staging.put(ends, row + i * M, output, own[0], own[1]);
            staging.put(ends, row + i * M + 8, output, own[2], own[3]);
        }
    }
    __syncthreads();
    staging.finish(out, partials);
#endif
}

template <typename T, int PIXELS, int OUTPUTS>
cudaError_t run_pixels(const struct conv_plan *plan, const dim3 &grid, const T *in, const T *weight,
                       T *out, float *partials, cudaStream_t stream)
{
    const size_t bytes = block_offset<T, PIXELS, OUTPUTS>() + conv_block_bytes(plan);
    return launch(conv<T, PIXELS, OUTPUTS>, grid, dim3(CONV_THREADS), bytes, stream, *plan, in,
                  weight, out, partials);
}

template <typename T, int OUTPUTS> struct kernel {
    static cudaError_t run(const struct conv_plan *plan, const dim3 &grid, const T *in,
                           const T *weight, T *out, float *partials, cudaStream_t stream)
    {
        if constexpr (OUTPUTS > CONV_HEAD_OUTPUTS)
            if (plan->tile_pixels == 256)
                return run_pixels<T, 256, OUTPUTS>(plan, grid, in, weight, out, partials, stream);
        return run_pixels<T, 128, OUTPUTS>(plan, grid, in, weight, out, partials, stream);
    }
};

} // namespace

cudaError_t conv_run_wgmma(enum kernel_type type, const struct conv_plan *plan, const dim3 &grid,
                           const void *in, const void *weight, void *out, float *partials,
                           cudaStream_t stream)
{
    return conv_run_halves<kernel>(type, plan, grid, in, weight, out, partials, stream);
}
