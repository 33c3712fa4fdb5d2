/* SPDX-License-Identifier: MIT
 *
 * Connected layers. Over a vector of floats: a warp for each output.
 *
 * Over whole pictures (full U-GAT-IT: 256 outputs of 1,048,576 values) reading the weights is all
 * the time there is, so they are read once for 32 pictures: outputs × pictures is a product of
 * matrices, and tensor cores take 16 outputs by 8 pictures at a time. A picture is a column of its
 * own, so its sums don't know how many others there are. The sum is split into pieces of fixed
 * length (`CHUNK`), whose partial sums a second kernel adds up in order.
 *
 *     block: one chunk, 8 warps of 16 outputs each    grid: [chunks][outputs / 128][pictures / 32]
 *
 * Weights and pictures go from memory to registers as they lie. A fragment's lane wants pairs at k
 * 2t and 2t + 8 of a step of 16; the lane instead loads the eight values at 8t of a span of 32 and
 * calls them pairs of two steps. Both operands are renumbered in the same way, and a sum doesn't
 * mind. */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/ptx.cuh"
#include "gpu/cuda/value.cuh"

namespace
{

const int THREADS = 256, WARP = 32;
const int CHUNK = 2048, SPAN = 32;             /* values of the sum */
const int ROWS = 16, BLOCK_ROWS = 8 * ROWS;    /* outputs */
const int COLUMNS = 8, GROUPS = 4, ADDERS = 8; /* pictures; pictures / 8; threads of a sum */

__device__ __forceinline__ float sum_lanes(float v)
{
    for (int half = WARP / 2; half > 0; half /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, half);
    return v;
}

__global__ void connected(int inputs, int outputs, enum kernel_act act, const float *in,
                          const float *weight, const float *bias, float *out)
{
    const int lane = (int)threadIdx.x % WARP;
    const int o = (int)(blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP);
    const float *values = in + (size_t)blockIdx.y * inputs;
    float sum = 0.0f;
    if (o >= outputs) /* the whole warp */
        return;
    for (int i = lane; i < inputs; i += WARP)
        sum = fmaf(weight[(size_t)o * inputs + i], values[i], sum);
    sum = sum_lanes(sum);
    if (lane == 0)
        out[(size_t)blockIdx.y * outputs + o] = value_act(act, sum + (bias ? bias[o] : 0.0f));
}

/* 16 bytes of a row at `first` of a span, zeros behind its end or where there is no row. */
template <typename T>
__device__ __forceinline__ uint4 piece_at(const T *row, bool is_row, int64_t first, int64_t length)
{
    return is_row && first < length ? *(const uint4 *)(row + first) : make_uint4(0, 0, 0, 0);
}

/* partial[chunk][picture][outputs] */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    products(int pictures, int outputs, int64_t length, const T *in, const T *weight,
             float *partial, int partial_pictures)
{
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int row = (int)blockIdx.y * BLOCK_ROWS + warp * ROWS + lane / 4;
    const int first_picture = (int)blockIdx.z * GROUPS * COLUMNS;
    const int groups = min(GROUPS, (pictures - first_picture + COLUMNS - 1) / COLUMNS);
    const int64_t first = (int64_t)blockIdx.x * CHUNK;
    const T *low = weight + (size_t)row * length, *high = low + 8 * length;
    const T *picture = in + (size_t)(first_picture + lane / 4) * length;
    float sum[GROUPS][4] = {};
    if ((int)blockIdx.y * BLOCK_ROWS + warp * ROWS >= outputs) /* the whole warp */
        return;
    for (int64_t k = first + lane % 4 * 8; k - lane % 4 * 8 < min(first + CHUNK, length);
         k += SPAN) {
        const uint4 a = piece_at(low, row < outputs, k, length);
        const uint4 c = piece_at(high, row + 8 < outputs, k, length);
        const uint32_t even[4] = {a.x, c.x, a.y, c.y}, odd[4] = {a.z, c.z, a.w, c.w};
#pragma unroll
        for (int g = 0; g < GROUPS; g++) {
            if (g >= groups)
                break;
            const int n = first_picture + g * COLUMNS + lane / 4;
            const uint4 b =
                piece_at(picture + (size_t)g * COLUMNS * length, n < pictures, k, length);
            ptx_mma_m16n8k16<T>(sum[g], even, b.x, b.y);
            ptx_mma_m16n8k16<T>(sum[g], odd, b.z, b.w);
        }
    }
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int o = row + i / 2 * 8;
            const int n = first_picture + g * COLUMNS + lane % 4 * 2 + i % 2;
            if (g < groups && o < outputs && n < pictures)
                partial[((size_t)blockIdx.x * partial_pictures + n) * outputs + o] = sum[g][i];
        }
}

/* The same in float by plain multiplications: a warp for each output and picture. */
__global__ void __launch_bounds__(THREADS)
    products_fma(int pictures, int outputs, int64_t length, const float *in, const float *weight,
                 float *partial, int partial_pictures)
{
    const int lane = (int)threadIdx.x % WARP, o = (int)(blockIdx.y * 8 + threadIdx.x / WARP);
    const int64_t first = (int64_t)blockIdx.x * CHUNK;
    const float *values = in + (size_t)blockIdx.z * length;
    float sum = 0.0f;
    if (o >= outputs) /* the whole warp */
        return;
    for (int64_t k = first + lane; k < min(first + CHUNK, length); k += WARP)
        sum = fmaf(weight[(size_t)o * length + k], values[k], sum);
    sum = sum_lanes(sum);
    if (lane == 0)
        partial[((size_t)blockIdx.x * partial_pictures + blockIdx.z) * outputs + o] = sum;
}

/* Adds up the chunks: threads lie [ADDERS][32 outputs], each takes every ADDERS-th chunk, and the
 * ADDERS sums are added in order. */
__global__ void add_up(int chunks, int outputs, int partial_pictures, enum kernel_act act,
                       const float *partial, const float *bias, float *out)
{
    float *const shared = (float *)launch_shared();
    const int column = (int)threadIdx.x % WARP, adder = (int)threadIdx.x / WARP;
    const int o = (int)blockIdx.x * WARP + column;
    float sum = 0.0f;
    if (o < outputs)
        for (int c = adder; c < chunks; c += ADDERS)
            sum += partial[((size_t)c * partial_pictures + blockIdx.y) * outputs + o];
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (adder != 0 || o >= outputs)
        return;
    for (int i = 1; i < ADDERS; i++)
        sum += shared[i * WARP + column];
    out[(size_t)blockIdx.y * outputs + o] = value_act(act, sum + (bias ? bias[o] : 0.0f));
}

int64_t length_of(const struct kernel_connected *s)
{
    return (int64_t)kernel_channels(s->channels) * s->pixels;
}

int chunks_of(const struct kernel_connected *s)
{
    return (int)((length_of(s) + CHUNK - 1) / CHUNK);
}

template <typename T>
cudaError_t run_products(const struct kernel_connected *s, int pictures, const void *in,
                         const void *weight, float *partial, cudaStream_t stream)
{
    const int together = GROUPS * COLUMNS;
    const dim3 grid((unsigned)chunks_of(s), (unsigned)((s->outputs + BLOCK_ROWS - 1) / BLOCK_ROWS),
                    (unsigned)((pictures + together - 1) / together));
    return launch(products<T>, grid, dim3(THREADS), 0, stream, pictures, s->outputs, length_of(s),
                  (const T *)in, (const T *)weight, partial, pictures);
}

} // namespace

cudaError_t kernel_connected(int pictures, int inputs, int outputs, enum kernel_act act,
                             const float *in, const float *weight, const float *bias, float *out,
                             cudaStream_t stream)
{
    const unsigned across = THREADS / WARP;
    if (pictures < 1 || inputs < 1 || outputs < 1 || act == KERNEL_PRELU)
        return cudaErrorInvalidValue;
    return launch(connected, dim3(((unsigned)outputs + across - 1) / across, (unsigned)pictures),
                  dim3(THREADS), 0, stream, inputs, outputs, act, in, weight, bias, out);
}

size_t kernel_connected_workspace(const struct kernel_connected *shape)
{
    return (size_t)chunks_of(shape) * (size_t)shape->outputs;
}

cudaError_t kernel_connected_pictures(const struct kernel_connected *s, int pictures,
                                      const void *in, const void *weight, const float *bias,
                                      float *workspace, float *out, cudaStream_t stream)
{
    cudaError_t status = cudaErrorInvalidValue;
    if (pictures < 1 || s->channels < 1 || s->pixels < 1 || s->outputs < 1 ||
        s->act == KERNEL_PRELU)
        return status;
    switch (s->type) {
    case KERNEL_F16:
        status = run_products<__half>(s, pictures, in, weight, workspace, stream);
        break;
    case KERNEL_BF16:
        status = run_products<__nv_bfloat16>(s, pictures, in, weight, workspace, stream);
        break;
    case KERNEL_F32:
        status =
            launch(products_fma,
                   dim3((unsigned)chunks_of(s), ((unsigned)s->outputs + 7) / 8, (unsigned)pictures),
                   dim3(THREADS), 0, stream, pictures, s->outputs, length_of(s), (const float *)in,
                   (const float *)weight, workspace, pictures);
        break;
    }
    if (status != cudaSuccess)
        return status;
    return launch(add_up, dim3(((unsigned)s->outputs + WARP - 1) / WARP, (unsigned)pictures),
                  dim3(ADDERS * WARP), ADDERS * WARP * sizeof(float), stream, chunks_of(s),
                  s->outputs, pictures, s->act, workspace, bias, out);
}
