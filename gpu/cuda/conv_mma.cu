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

namespace
{

const int PIXELS = 128, PIECES = 4, STAGES = 3, WARP_OUTPUTS = 32;

/* In pieces. */
template <int OUTPUTS> struct stage {
    static const int b = PIXELS * PIECES;
    static const int all = b + OUTPUTS * PIECES;
};

__device__ __forceinline__ int swizzle(int row, int piece)
{
    return row * PIECES + (piece ^ (row >> 1 & 3));
}

/* Starts the copies of one slice and closes their group. Each thread has the same piece of rows
 * that are 64 apart. */
template <typename T, int OUTPUTS>
__device__ __forceinline__ void
load(const struct conv_plan &plan, const struct conv_tile &tile, const struct conv_tables &tables,
     struct conv_walk &walk, const T *picture, const value_piece<T> *weight, value_piece<T> *to)
{
    const int piece = (int)threadIdx.x % PIECES, first = (int)threadIdx.x / PIECES;
#pragma unroll
    for (int row = first; row < PIXELS; row += CONV_THREADS / PIECES) {
        int from = conv_source<PIXELS>(tables, tile.phase, walk, row);
        ptx_cp_async_16_cached(to + swizzle(row, piece),
                               picture + (size_t)max(from, 0) * CONV_PIECE, from >= 0);
    }
#pragma unroll
    for (int i = 0; i < OUTPUTS * PIECES; i += CONV_THREADS)
        if (OUTPUTS * PIECES % CONV_THREADS == 0 || (int)threadIdx.x < OUTPUTS * PIECES - i)
            ptx_cp_async_16(to + stage<OUTPUTS>::b + i + threadIdx.x, weight + i + threadIdx.x,
                            true);
    walk.next(plan, tile.phase);
}

/* One slice: K is 32, in two steps of 16. One ldmatrix gives 8 outputs × 32 or 16 pixels × 16. */
template <typename T, int M>
__device__ __forceinline__ void multiply(const value_piece<T> *a, const value_piece<T> *b,
                                         int first_row, int first_output, float (&sum)[M][4][4])
{
    const int lane = (int)threadIdx.x % 32;
    uint32_t right[4][4];
#pragma unroll
    for (int j = 0; j < 4; j++)
        ptx_ldmatrix_x4(right[j], b + swizzle(first_output + 8 * j + lane % 8, lane / 8));
#pragma unroll
    for (int step = 0; step < 2; step++)
#pragma unroll
        for (int i = 0; i < M; i++) {
            uint32_t left[4];
            ptx_ldmatrix_x4(left,
                            a + swizzle(first_row + 16 * i + lane % 16, 2 * step + lane / 16));
#pragma unroll
            for (int j = 0; j < 4; j++)
                ptx_mma_m16n8k16<T>(sum[i][j], left, right[j][2 * step], right[j][2 * step + 1]);
        }
}

template <typename T, int OUTPUTS>
__global__ void __launch_bounds__(CONV_THREADS, 2)
    conv(const struct conv_plan plan, const T *in, const T *weight, T *out, float *partials)
{
    constexpr int ACROSS = OUTPUTS / WARP_OUTPUTS, DOWN = CONV_THREADS / 32 / ACROSS;
    constexpr int M = PIXELS / DOWN / 16;
    value_piece<T> *const ring = (value_piece<T> *)launch_shared();
    const struct conv_tile tile = conv_tile_of(plan);
    const struct conv_tables tables = conv_tables_at<PIXELS>(
        launch_shared() + conv_tables_offset<T, PIXELS, OUTPUTS>(STAGES * stage<OUTPUTS>::all),
        tile);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int first_row = warp / ACROSS * 16 * M, first_output = warp % ACROSS * WARP_OUTPUTS;
    const T *picture =
        in + (size_t)tile.picture * plan.in_h * plan.in_w * plan.in_pieces * CONV_PIECE;
    const int slices = tile.phase.slices;
    const value_piece<T> *from =
        (const value_piece<T> *)weight +
        ((size_t)tile.phase.first_stage + (size_t)tile.output_tile * slices) * OUTPUTS * PIECES;
    float sum[M][4][4] = {};
    struct conv_walk walk;

    conv_tables_fill<PIXELS>(plan, tile, tables);
    walk.start(plan, tile.phase, (int)threadIdx.x % PIECES);
    __syncthreads();
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < slices)
            load<T, OUTPUTS>(plan, tile, tables, walk, picture, from + s * OUTPUTS * PIECES,
                             ring + s * stage<OUTPUTS>::all);
        ptx_cp_async_commit();
    }
    for (int s = 0; s < slices; s++) {
        /* Slice s is here for all; and all are done with slice s - 1, whose stage comes next. */
        ptx_cp_async_wait<STAGES - 2>();
        __syncthreads();
        const int next = s + STAGES - 1;
        if (next < slices)
            load<T, OUTPUTS>(plan, tile, tables, walk, picture,
                             from + (size_t)next * OUTPUTS * PIECES,
                             ring + next % STAGES * stage<OUTPUTS>::all);
        ptx_cp_async_commit();
        const value_piece<T> *now = ring + s % STAGES * stage<OUTPUTS>::all;
        multiply<T, M>(now, now + stage<OUTPUTS>::b, first_row, first_output, sum);
    }
    __syncthreads(); /* the finished tile takes the place of the stages */

    const struct conv_staging<T, PIXELS, OUTPUTS> staging = {
        plan, tile, tables, conv_vectors_at(plan, weight), launch_shared()
    };
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int row = first_row + 16 * i + lane / 4;
            const int output = first_output + 8 * j + lane % 4 * 2;
            staging.put(row, output, sum[i][j][0], sum[i][j][1]);
            staging.put(row + 8, output, sum[i][j][2], sum[i][j][3]);
        }
    __syncthreads();
    staging.finish(out, partials);
}

template <typename T, int OUTPUTS>
cudaError_t run(const struct conv_plan *plan, int pictures, const void *in, const void *weight,
                void *out, float *partials, cudaStream_t stream)
{
    const dim3 grid((unsigned)(plan->tiles * plan->output_tiles), 1, (unsigned)pictures);
    const size_t bytes = conv_tables_offset<T, PIXELS, OUTPUTS>(STAGES * stage<OUTPUTS>::all) +
                         conv_tables_bytes(plan);
    return launch(conv<T, OUTPUTS>, grid, dim3(CONV_THREADS), bytes, stream, *plan, (const T *)in,
                  (const T *)weight, (T *)out, partials);
}

template <typename T>
cudaError_t run_typed(const struct conv_plan *plan, int pictures, const void *in,
                      const void *weight, void *out, float *partials, cudaStream_t stream)
{
    switch (plan->tile_outputs) {
    case 32: return run<T, 32>(plan, pictures, in, weight, out, partials, stream);
    case 64: return run<T, 64>(plan, pictures, in, weight, out, partials, stream);
    case 128: return run<T, 128>(plan, pictures, in, weight, out, partials, stream);
    }
    return cudaErrorInvalidValue;
}

} // namespace

cudaError_t conv_run_mma(enum kernel_type type, const struct conv_plan *plan, int pictures,
                         const void *in, const void *weight, void *out, float *partials,
                         cudaStream_t stream)
{
    if (type == KERNEL_F16)
        return run_typed<__half>(plan, pictures, in, weight, out, partials, stream);
    return run_typed<__nv_bfloat16>(plan, pictures, in, weight, out, partials, stream);
}
