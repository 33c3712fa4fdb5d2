/* SPDX-License-Identifier: MIT
 *
 * Convolution on the tensor cores of sm_75 to sm_89 (and of anything newer that compiles PTX):
 * mma.sync fed by ldmatrix from a ring of three stages that cp.async fills.
 *
 *     stage: A [128 pixels][4 pieces], B [outputs][4 pieces], a piece being 8 channels of a tap
 *
 *                 outputs
 *              0   32   64   96            OUTPUTS = 128: 2 × 4 warps of 64 × 32
 *     pixels 0 ┌────┬────┬────┬────┐                  64: 4 × 2 warps of 32 × 32
 *              │ w0 │ w1 │ w2 │ w3 │                  32: 8 × 1 warps of 16 × 32
 *           64 ├────┼────┼────┼────┤
 *              │ w4 │ w5 │ w6 │ w7 │       each warp: [PIXELS / 16][4] products m16n8
 *          128 └────┴────┴────┴────┘
 *
 * Rows of a stage are 64 bytes, two of them fill the 32 banks: piece j of row r lies at
 * j ^ (r / 2 % 4), so that the eight rows of an ldmatrix lie in eight different groups of banks. */
#include "gpu/cuda/conv.cuh"
#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/ptx.cuh"

/* Blocks of a multiprocessor that registers must suffice for; sm_75's shared memory holds one. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define CONV_MMA_BLOCKS 1
#else
#define CONV_MMA_BLOCKS 2
#endif

namespace
{

const int PIXELS = 128, PIECES = 4, STAGES = 3, WARP_OUTPUTS = 32;

template <int OUTPUTS> using stage = conv_stage<PIXELS, PIECES, OUTPUTS>;

template <typename T, int OUTPUTS> __host__ __device__ constexpr size_t block_offset()
{
    return conv_block_offset<T, PIXELS, OUTPUTS>(STAGES * stage<OUTPUTS>::all);
}

/* One slice: K is 32, in two steps of 16. One ldmatrix gives 16 outputs × 16 or 16 pixels × 16. */
template <typename T, int M>
__device__ __forceinline__ void multiply(const value_piece<T> *a, const value_piece<T> *b,
                                         int first_row, int first_output, float (&sum)[M][4][4])
{
    const int lane = (int)threadIdx.x % 32;
    const int output = first_output + lane / 16 * 8 + lane % 8;
#pragma unroll
    for (int step = 0; step < 2; step++) {
        uint32_t right[2][4]; /* of 8 outputs: k 0 … 7, 8 … 15; then of the next 8 */
#pragma unroll
        for (int j = 0; j < 2; j++)
            ptx_ldmatrix_x4(right[j],
                            b + stage<WARP_OUTPUTS>::at(output + 16 * j, 2 * step + lane / 8 % 2));
#pragma unroll
        for (int i = 0; i < M; i++) {
            uint32_t left[4];
            ptx_ldmatrix_x4(left, a + stage<WARP_OUTPUTS>::at(first_row + 16 * i + lane % 16,
                                                              2 * step + lane / 16));
#pragma unroll
            for (int j = 0; j < 4; j++)
                ptx_mma_m16n8k16<T>(sum[i][j], left, right[j / 2][j % 2 * 2],
                                    right[j / 2][j % 2 * 2 + 1]);
        }
    }
}

template <typename T, int OUTPUTS>
__global__ void __launch_bounds__(CONV_THREADS, CONV_MMA_BLOCKS)
    conv(const struct conv_plan plan, const T *in, const T *weight, T *out, float *partials)
{
    constexpr int ACROSS = OUTPUTS / WARP_OUTPUTS, DOWN = CONV_THREADS / 32 / ACROSS;
    constexpr int M = PIXELS / DOWN / 16;
    value_piece<T> *const ring = (value_piece<T> *)launch_shared();
    struct conv_block<PIXELS> *const block =
        (struct conv_block<PIXELS> *)(launch_shared() + block_offset<T, OUTPUTS>());
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int first_row = warp / ACROSS * 16 * M, first_output = warp % ACROSS * WARP_OUTPUTS;
    float sum[M][4][4] = {};
    struct conv_walk walk;

    conv_block_fill(plan, block);
    __syncthreads();
    walk.start(plan, block->tile.phase, (int)threadIdx.x % PIECES);
    const T *picture =
        in + (size_t)block->tile.picture * plan.in_h * plan.in_w * plan.in_pieces * CONV_PIECE;
    const int slices = block->tile.phase.slices;
    const value_piece<T> *from =
        (const value_piece<T> *)weight + conv_first_stage(block->tile) * OUTPUTS * PIECES;
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < slices)
            stage<OUTPUTS>::load(plan, block, walk, picture, from + s * OUTPUTS * PIECES,
                                 ring + s * stage<OUTPUTS>::all);
        ptx_cp_async_commit();
    }
    for (int s = 0; s < slices; s++) {
        /* Slice s is here for all; and all are done with slice s - 1, whose stage comes next. */
        ptx_cp_async_wait<STAGES - 2>();
        __syncthreads();
        const int next = s + STAGES - 1;
        if (next < slices)
            stage<OUTPUTS>::load(plan, block, walk, picture, from + (size_t)next * OUTPUTS * PIECES,
                                 ring + next % STAGES * stage<OUTPUTS>::all);
        ptx_cp_async_commit();
        const value_piece<T> *now = ring + s % STAGES * stage<OUTPUTS>::all;
        multiply<T, M>(now, now + stage<OUTPUTS>::b, first_row, first_output, sum);
    }
    __syncthreads(); /* the finished tile takes the place of the stages */

    const struct conv_staging<T, PIXELS, OUTPUTS> staging = {
        plan, block, conv_vectors_at(plan, weight), launch_shared()
    };
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int output = first_output + 8 * j + lane % 4 * 2;
        const struct conv_ends ends = staging.ends(output);
#pragma unroll
        for (int i = 0; i < M; i++) {
            const int row = first_row + 16 * i + lane / 4;
            staging.put(ends, row, output, sum[i][j][0], sum[i][j][1]);
            staging.put(ends, row + 8, output, sum[i][j][2], sum[i][j][3]);
        }
    }
    __syncthreads();
    staging.finish(out, partials);
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

cudaError_t conv_run_mma(enum kernel_type type, const struct conv_plan *plan, const dim3 &grid,
                         const void *in, const void *weight, void *out, float *partials,
                         cudaStream_t stream)
{
    return conv_run_halves<kernel>(type, plan, grid, in, weight, out, partials, stream);
}
