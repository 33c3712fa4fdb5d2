/* SPDX-License-Identifier: MIT
 *
 * What reads each value once: normalising with activation and addition, floats in planes to
 * activations and back. All are as fast as memory is: 16 bytes a thread and access. */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/value.cuh"

namespace
{

const int THREADS = 256, PIECE = 8;
const int WALKERS = 512; /* apply: a thread for each piece of 4,096 channels */

/* Of apply: enough for every multiprocessor and no more, each block walks on. */
const int MOST_BLOCKS = 4 * 132;

unsigned blocks_for(int64_t threads)
{
    return (unsigned)((threads + THREADS - 1) / THREADS);
}

/* Threads lie [pixels][pieces]. A thread keeps its channels, whose factors it loads once, and walks
 * along the pixels. */
template <typename T>
__global__ void __launch_bounds__(WALKERS)
    apply(const struct kernel_apply s, int pieces, int64_t steps, const T *in, const float *scale,
          const float *shift, const float *slope, const T *other, T *out)
{
    const int down = WALKERS / pieces, piece = (int)threadIdx.x % pieces;
    const int picture = (int)blockIdx.y, channels = pieces * PIECE;
    const size_t factors = (s.per_picture ? (size_t)picture * channels : 0) + piece * PIECE;
    const size_t first = (size_t)picture * s.pixels * channels + piece * PIECE;
    float factor[PIECE], offset[PIECE], bend[PIECE];
    if ((int)threadIdx.x >= down * pieces)
        return;
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        factor[i] = scale ? scale[factors + i] : 1.0f;
        offset[i] = shift ? shift[factors + i] : 0.0f;
        bend[i] = s.act == KERNEL_PRELU ? slope[piece * PIECE + i] : 0.0f;
    }
    int64_t pixel = (int64_t)blockIdx.x * steps * down + (int)threadIdx.x / pieces;
    for (int64_t step = 0; step < steps && pixel < s.pixels; step++, pixel += down) {
        const size_t at = first + (size_t)pixel * channels;
        float v[PIECE], more[PIECE];
        value_load_piece(in + at, v);
        if (other)
            value_load_piece(other + at, more);
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            v[i] = value_act(s.act, v[i] * factor[i] + offset[i], bend[i]);
            if (other)
                v[i] += more[i];
        }
        value_store_piece(out + at, v);
    }
}

/* A thread for each piece of a pixel. */
template <typename T>
__global__ void from_planes(int channels, int pixels, int pieces, const float *planes, T *out)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int pixel = (int)(i % pixels), piece = (int)(i / pixels);
    const float *from = planes + (size_t)blockIdx.y * channels * pixels + pixel;
    float v[PIECE];
    if (piece >= pieces)
        return;
#pragma unroll
    for (int c = 0; c < PIECE; c++)
        v[c] = piece * PIECE + c < channels ? from[(size_t)(piece * PIECE + c) * pixels] : 0.0f;
    value_store_piece(out + (((size_t)blockIdx.y * pixels + pixel) * pieces + piece) * PIECE, v);
}

template <typename T>
__global__ void to_planes(int channels, int pixels, int pieces, enum kernel_act act, const T *in,
                          float *planes, int layer, int *bad)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int pixel = (int)(i % pixels), piece = (int)(i / pixels);
    float *to = planes + (size_t)blockIdx.y * channels * pixels + pixel;
    float v[PIECE];
    bool fine = true;
    if (piece >= pieces)
        return;
    value_load_piece(in + (((size_t)blockIdx.y * pixels + pixel) * pieces + piece) * PIECE, v);
#pragma unroll
    for (int c = 0; c < PIECE; c++)
        if (piece * PIECE + c < channels) {
            fine = fine && isfinite(v[c]);
            to[(size_t)(piece * PIECE + c) * pixels] = value_act(act, v[c], 0.0f);
        }
    if (!fine)
        atomicMin(bad, layer);
}

template <typename T> __global__ void channel_sum(int pixels, int pieces, const T *in, float *out)
{
    const int64_t pixel = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const size_t at = (size_t)blockIdx.y * pixels + (size_t)pixel;
    float sum = 0.0f;
    if (pixel >= pixels)
        return;
    for (int piece = 0; piece < pieces; piece++) {
        float v[PIECE];
        value_load_piece(in + (at * pieces + piece) * PIECE, v);
        for (int c = 0; c < PIECE; c++)
            sum += v[c];
    }
    out[at] = sum;
}

bool is_empty(int pictures, int channels, int pixels)
{
    return pictures < 1 || channels < 1 || pixels < 1;
}

} // namespace

cudaError_t kernel_apply(const struct kernel_apply *s, const void *in, const float *scale,
                         const float *shift, const float *slope, const void *other, void *out,
                         cudaStream_t stream)
{
    const int pieces = kernel_channels(s->channels) / PIECE;
    if (is_empty(s->pictures, s->channels, s->pixels) || !scale != !shift ||
        (s->act == KERNEL_PRELU && !slope) || s->act == KERNEL_SIGMOID || pieces > WALKERS)
        return cudaErrorInvalidValue;
    const int down = WALKERS / pieces;
    const int64_t rows = (s->pixels + down - 1) / down;
    const int64_t most = MOST_BLOCKS / s->pictures + 1;
    const int64_t steps = (rows + most - 1) / most;
    const dim3 grid((unsigned)((rows + steps - 1) / steps), (unsigned)s->pictures);
    return value_with_type(s->type, [&](auto *type) {
        typedef decltype(type) P; /* T * */
        return launch(apply<std::remove_pointer_t<P>>, grid, dim3(WALKERS), 0, stream, *s, pieces,
                      steps, (P)in, scale, shift, slope, (P)other, (P)out);
    });
}

cudaError_t kernel_from_planes(enum kernel_type type, int pictures, int channels, int pixels,
                               const float *planes, void *out, cudaStream_t stream)
{
    const int pieces = kernel_channels(channels) / PIECE;
    if (is_empty(pictures, channels, pixels))
        return cudaErrorInvalidValue;
    const dim3 grid(blocks_for((int64_t)pixels * pieces), (unsigned)pictures);
    return value_with_type(type, [&](auto *p) {
        return launch(from_planes<std::remove_pointer_t<decltype(p)>>, grid, dim3(THREADS), 0,
                      stream, channels, pixels, pieces, planes, (decltype(p))out);
    });
}

cudaError_t kernel_to_planes(enum kernel_type type, int pictures, int channels, int pixels,
                             enum kernel_act act, const void *in, float *out_planes, int layer,
                             int *bad, cudaStream_t stream)
{
    const int pieces = kernel_channels(channels) / PIECE;
    if (is_empty(pictures, channels, pixels) || act == KERNEL_PRELU)
        return cudaErrorInvalidValue;
    const dim3 grid(blocks_for((int64_t)pixels * pieces), (unsigned)pictures);
    return value_with_type(type, [&](auto *p) {
        return launch(to_planes<std::remove_pointer_t<decltype(p)>>, grid, dim3(THREADS), 0, stream,
                      channels, pixels, pieces, act, (decltype(p))in, out_planes, layer, bad);
    });
}

cudaError_t kernel_channel_sum(enum kernel_type type, int pictures, int channels, int pixels,
                               const void *in, float *out_sums, cudaStream_t stream)
{
    const int pieces = kernel_channels(channels) / PIECE;
    if (is_empty(pictures, channels, pixels))
        return cudaErrorInvalidValue;
    const dim3 grid(blocks_for(pixels), (unsigned)pictures);
    return value_with_type(type, [&](auto *p) {
        return launch(channel_sum<std::remove_pointer_t<decltype(p)>>, grid, dim3(THREADS), 0,
                      stream, pixels, pieces, (decltype(p))in, out_sums);
    });
}
