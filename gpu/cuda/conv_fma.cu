/* SPDX-License-Identifier: MIT
 *
 * Convolution in float, by plain multiplications: what --precision f32 runs, and what the tensor
 * cores' kernels are checked against.
 *
 *     stage: A [16 channels][64 pixels], B [16 channels][outputs], two of each: one is filled from
 *     registers while the other is multiplied
 *
 * 64 × OUTPUTS sums, of which each of 256 threads keeps 4 rows that are 16 apart × OUTPUTS / 16
 * columns that lie together. */
#include "gpu/cuda/conv.cuh"
#include "gpu/cuda/launch.cuh"

namespace
{

const int PIXELS = 64, PIECES = 2, DEPTH = PIECES * CONV_PIECE;
/* Floats of a row of A: so that the 8 channels that a thread stores lie in different banks. */
const int PITCH = PIXELS + 4;

template <int OUTPUTS> struct stage {
    static const int b = DEPTH * PITCH;
    static const int all = b + DEPTH * OUTPUTS;
};

template <int OUTPUTS> __host__ __device__ constexpr size_t block_offset()
{
    return conv_block_offset<float, PIXELS, OUTPUTS>(2 * stage<OUTPUTS>::all / CONV_PIECE);
}

/* What a thread carries from the picture and the weights to a stage: half a piece of a row, and as
 * many weights. */
template <int OUTPUTS> struct carried {
    float4 pixel;
    float weight[DEPTH * OUTPUTS / CONV_THREADS];
};

template <int OUTPUTS>
__device__ __forceinline__ void fetch(struct conv_block<PIXELS> *block,
                                      const struct conv_walk &walk, const float *picture,
                                      const float *weight, struct carried<OUTPUTS> &c)
{
    const int row = (int)threadIdx.x / (2 * PIECES), half = (int)threadIdx.x % 2;
    const int from = block->source(walk, row);
    c.pixel = from >= 0 ? *(const float4 *)(picture + (size_t)from * CONV_PIECE + 4 * half)
                        : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int i = 0; i < DEPTH * OUTPUTS / CONV_THREADS; i++)
        c.weight[i] = weight[i * CONV_THREADS + threadIdx.x];
}

template <int OUTPUTS>
__device__ __forceinline__ void put_down(const struct carried<OUTPUTS> &c, float *to)
{
    const int row = (int)threadIdx.x / (2 * PIECES);
    const int channel = (int)threadIdx.x % (2 * PIECES) * 4;
    to[(channel + 0) * PITCH + row] = c.pixel.x;
    to[(channel + 1) * PITCH + row] = c.pixel.y;
    to[(channel + 2) * PITCH + row] = c.pixel.z;
    to[(channel + 3) * PITCH + row] = c.pixel.w;
#pragma unroll
    for (int i = 0; i < DEPTH * OUTPUTS / CONV_THREADS; i++)
        to[stage<OUTPUTS>::b + i * CONV_THREADS + threadIdx.x] = c.weight[i];
}

template <int OUTPUTS>
__device__ __forceinline__ void multiply(const float *from, float (&sum)[4][OUTPUTS / 16])
{
    constexpr int N = OUTPUTS / 16;
    const int row = (int)threadIdx.x / 16, first = (int)threadIdx.x % 16 * N;
    for (int k = 0; k < DEPTH; k++) {
        float a[4], b[N];
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = from[k * PITCH + row + 16 * i];
#pragma unroll
        for (int j = 0; j < N; j++)
            b[j] = from[stage<OUTPUTS>::b + k * OUTPUTS + first + j];
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < N; j++)
                sum[i][j] = fmaf(a[i], b[j], sum[i][j]);
    }
}

template <int OUTPUTS>
__global__ void __launch_bounds__(CONV_THREADS)
    conv(const struct conv_plan plan, const float *in, const float *weight, float *out,
         float *partials)
{
    constexpr int N = OUTPUTS / 16;
    float *const stages = (float *)launch_shared();
    struct conv_block<PIXELS> *const block =
        (struct conv_block<PIXELS> *)(launch_shared() + block_offset<OUTPUTS>());
    float sum[4][N] = {};
    struct conv_walk walk;
    struct carried<OUTPUTS> carried;

    conv_block_fill(plan, block);
    __syncthreads();
    walk.start(plan, block->tile.phase, (int)threadIdx.x / 2 % PIECES);
    const float *picture =
        in + (size_t)block->tile.picture * plan.in_h * plan.in_w * plan.in_pieces * CONV_PIECE;
    const int slices = block->tile.phase.slices;
    const float *from = weight + conv_first_stage(block->tile) * DEPTH * OUTPUTS;
    fetch(block, walk, picture, from, carried);
    for (int s = 0; s < slices; s++) {
        float *now = stages + s % 2 * stage<OUTPUTS>::all;
        put_down(carried, now); /* all have multiplied slice s - 2: the barrier of s - 1 */
        __syncthreads();
        walk.next(plan, block->tile.phase);
        if (s + 1 < slices)
            fetch(block, walk, picture, from + (size_t)(s + 1) * DEPTH * OUTPUTS, carried);
        multiply<OUTPUTS>(now, sum);
    }
    __syncthreads(); /* the finished tile takes the place of the stages */

    const struct conv_staging<float, PIXELS, OUTPUTS> staging = {
        plan, block, conv_vectors_at(plan, weight), launch_shared()
    };
#pragma unroll
    for (int j = 0; j < N; j += 2) {
        const int output = (int)threadIdx.x % 16 * N + j;
        const struct conv_ends ends = staging.ends(output);
#pragma unroll
        for (int i = 0; i < 4; i++)
            staging.put(ends, (int)threadIdx.x / 16 + 16 * i, output, sum[i][j], sum[i][j + 1]);
    }
    __syncthreads();
    staging.finish(out, partials);
}

template <int OUTPUTS>
cudaError_t run(const struct conv_plan *plan, const dim3 &grid, const void *in, const void *weight,
                void *out, float *partials, cudaStream_t stream)
{
    const size_t bytes = block_offset<OUTPUTS>() + conv_block_bytes(plan);
    return launch(conv<OUTPUTS>, grid, dim3(CONV_THREADS), bytes, stream, *plan, (const float *)in,
                  (const float *)weight, (float *)out, partials);
}

} // namespace

cudaError_t conv_run_fma(const struct conv_plan *plan, const dim3 &grid, const void *in,
                         const void *weight, void *out, float *partials, cudaStream_t stream)
{
    switch (plan->tile_outputs) {
    case 32: return run<32>(plan, grid, in, weight, out, partials, stream);
    case 64: return run<64>(plan, grid, in, weight, out, partials, stream);
    }
    return cudaErrorInvalidValue;
}
