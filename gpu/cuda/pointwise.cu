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

static_assert(KERNEL_APPLY_CHANNELS <= THREADS * PIECE, "a thread for each piece of a pixel");

const int MOST_PIXELS = 1 << 30;

/* Of apply: enough for every multiprocessor and no more, each block walks on. */
const int MOST_BLOCKS = 6 * 132;

unsigned blocks_for(int64_t threads)
{
    return (unsigned)((threads + THREADS - 1) / THREADS);
}

/* Threads lie [pixels][pieces]. A thread keeps its channels, whose factors it loads once, and walks
 * along the pixels, for halves two at a time: more bytes are then on their way than memory takes
 * to answer. A block has `steps` × [pixels].
 * ACT is KERNEL_ACT_NONE (that and ReLU), KERNEL_PRELU or KERNEL_TANH. */
template <typename T, enum kernel_act ACT>
__global__ void __launch_bounds__(THREADS, 3)
    apply(const struct kernel_apply s, int pieces, int steps, const T *in, const float *scale,
          const float *shift, const float *slope, const T *other, T *out)
{
    constexpr int TOGETHER = sizeof(T) == 2 && ACT == KERNEL_ACT_NONE ? 2 : 1;
    const int down = THREADS / pieces, piece = (int)threadIdx.x % pieces;
    const int channels = pieces * PIECE;
    const size_t factors = (s.per_picture ? (size_t)blockIdx.y * channels : 0) + piece * PIECE;
    const size_t first = (size_t)blockIdx.y * s.pixels * channels + piece * PIECE;
    float factor[PIECE], offset[PIECE], slopes[PIECE];
    const float below = s.act == KERNEL_RELU ? 0.0f : 1.0f; /* zero */
    if ((int)threadIdx.x >= down * pieces)
        return;
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        factor[i] = 1.0f;
        offset[i] = 0.0f;
    }
    if (scale)
        value_load_piece(scale + factors, factor);
    if (scale)
        value_load_piece(shift + factors, offset);
    if (ACT == KERNEL_PRELU)
        value_load_piece(slope + piece * PIECE, slopes);
    const int start = (int)blockIdx.x * steps * down, end = min(s.pixels, start + steps * down);
    for (int pixel = start + (int)threadIdx.x / pieces; pixel < end; pixel += TOGETHER * down) {
        value_piece<T> own[TOGETHER], more[TOGETHER];
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            const size_t at = first + (size_t)(pixel + u * down) * channels;
            if (pixel + u * down < end)
                own[u] = *(const value_piece<T> *)(in + at);
            if (pixel + u * down < end && other)
                more[u] = *(const value_piece<T> *)(other + at);
        }
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            if (pixel + u * down >= end)
                break;
            float v[PIECE];
#pragma unroll
            for (int i = 0; i < PIECE; i++) {
                const float x = value_load(&own[u].value[i]) * factor[i] + offset[i];
                v[i] = ACT == KERNEL_TANH ? tanhf(x)
                                          : value_bend(x, ACT == KERNEL_PRELU ? slopes[i] : below);
                if (other)
                    v[i] += value_load(&more[u].value[i]);
            }
            value_store_piece(out + first + (size_t)(pixel + u * down) * channels, v);
        }
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
            to[(size_t)(piece * PIECE + c) * pixels] = value_act(act, v[c]);
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
    if (is_empty(s->pictures, s->channels, s->pixels) || s->pixels > MOST_PIXELS ||
        !scale != !shift || (s->act == KERNEL_PRELU && !slope) || s->act == KERNEL_SIGMOID ||
        pieces > THREADS)
        return cudaErrorInvalidValue;
    const int down = THREADS / pieces;
    const int rows = (s->pixels + down - 1) / down, most = MOST_BLOCKS / s->pictures + 1;
    const int steps = (rows + most - 1) / most;
    const dim3 grid((unsigned)((rows + steps - 1) / steps), (unsigned)s->pictures);
    return value_with_type(s->type, [&](auto *type) {
        typedef decltype(type) P; /* T * */
        typedef std::remove_pointer_t<P> T;
        const auto kernel = s->act == KERNEL_TANH    ? apply<T, KERNEL_TANH>
                            : s->act == KERNEL_PRELU ? apply<T, KERNEL_PRELU>
                                                     : apply<T, KERNEL_ACT_NONE>;
        return launch(kernel, grid, dim3(THREADS), 0, stream, *s, pieces, steps, (P)in, scale,
                      shift, slope, (P)other, (P)out);
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
