/* SPDX-License-Identifier: MIT
 *
 * From the moments of tiles to the factors with which pixels are normalised.
 *
 * One block for each picture. Threads lie [groups][channels]: each group takes every groups-th
 * tile, and the groups' sums are added in order, so a channel's sum has the same order whatever the
 * batch. Two passes over the tiles: the mean first, then
 *     sum of squares = Σ (own sum of squares + pixels · (own mean - mean)²)
 * which subtracts nothing that is larger than what it leaves. */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/value.cuh"

namespace
{

const int THREADS = 512;

/* The partials of one picture: see kernel_partial_floats(). */
struct moments {
    const float *partials;
    int tiles, wide; /* stored channels */

    __device__ __forceinline__ float mean(int tile, int c) const
    {
        return partials[(size_t)tile * 2 * wide + c];
    }
    __device__ __forceinline__ float squares(int tile, int c) const
    {
        return partials[((size_t)tile * 2 + 1) * wide + c];
    }
    __device__ __forceinline__ float pixels(int tile) const
    {
        return partials[(size_t)tiles * 2 * wide + tile];
    }
};

/* Sum over the tiles of what f gives for (tile, channel), for THREADS / groups channels at a time,
 * in `sums` [channels]; `scratch` has THREADS floats. Ends with a barrier. */
template <typename F>
__device__ void sum_tiles(int tiles, int channels, float *scratch, float *sums, F f)
{
    const int across = channels < THREADS ? channels : THREADS, groups = THREADS / across;
    const int group = (int)threadIdx.x / across, column = (int)threadIdx.x % across;
    for (int first = 0; first < channels; first += across) {
        const int c = first + column;
        float sum = 0.0f;
        if (group < groups && c < channels)
            for (int tile = group; tile < tiles; tile += groups)
                sum += f(tile, c);
        scratch[threadIdx.x] = sum;
        __syncthreads();
        if (group == 0 && c < channels) {
            for (int g = 1; g < groups; g++)
                sum += scratch[g * across + column];
            sums[c] = sum;
        }
        __syncthreads();
    }
}

/* Sum of THREADS values in a fixed order, for every thread. */
__device__ float sum_threads(float value, float *scratch)
{
    scratch[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half)
            scratch[threadIdx.x] += scratch[threadIdx.x + half];
        __syncthreads();
    }
    const float sum = scratch[0];
    __syncthreads();
    return sum;
}

__device__ float sum_pixels(const struct moments &m, float *scratch)
{
    float pixels = 0.0f;
    for (int tile = (int)threadIdx.x; tile < m.tiles; tile += THREADS)
        pixels += m.pixels(tile);
    return sum_threads(pixels, scratch);
}

/* means[channels]; gives the number of pixels. */
__device__ float find_means(const struct moments &m, int channels, float *scratch, float *means)
{
    const float pixels = sum_pixels(m, scratch);
    sum_tiles(m.tiles, channels, scratch, means,
              [&](int tile, int c) { return m.pixels(tile) * m.mean(tile, c); });
    for (int c = (int)threadIdx.x; c < channels; c += THREADS)
        means[c] /= pixels;
    __syncthreads();
    return pixels;
}

/* Mean and sum of squares over all channels. */
__device__ void find_layer(int channels, float pixels, const float *means, const float *squares,
                           float *scratch, float &out_mean, float &out_squares)
{
    float part = 0.0f;
    for (int c = (int)threadIdx.x; c < channels; c += THREADS)
        part += means[c];
    out_mean = sum_threads(part, scratch) / (float)channels;
    part = 0.0f;
    for (int c = (int)threadIdx.x; c < channels; c += THREADS) {
        const float d = means[c] - out_mean;
        part += squares[c] + pixels * (d * d);
    }
    out_squares = sum_threads(part, scratch);
}

__global__ void __launch_bounds__(THREADS)
    factors(const struct kernel_norm s, const float *partials, const float *rho, const float *gamma,
            const float *beta, float *scale, float *shift, int *bad)
{
    const int wide = kernel_channels(s.channels), picture = (int)blockIdx.x;
    const struct moments m = {
        partials + (size_t)picture * kernel_partial_floats(s.tiles, s.channels), s.tiles, wide};
    float *scratch = (float *)launch_shared();
    float *means = scratch + THREADS, *squares = means + wide;
    const float pixels = find_means(m, s.channels, scratch, means);
    sum_tiles(s.tiles, s.channels, scratch, squares, [&](int tile, int c) {
        const float d = m.mean(tile, c) - means[c];
        return m.squares(tile, c) + m.pixels(tile) * (d * d);
    });
    float layer_mean, layer_squares;
    find_layer(s.channels, pixels, means, squares, scratch, layer_mean, layer_squares);
    if (threadIdx.x == 0 && !isfinite(layer_squares))
        atomicMin(bad, s.layer);
    const float all = pixels * (float)s.channels, less = s.unbiased ? 1.0f : 0.0f;
    const float layer_rate = 1.0f / sqrtf(layer_squares / (all - less) + s.epsilon);
    for (int c = (int)threadIdx.x; c < wide; c += THREADS) {
        float factor = 0.0f, offset = 0.0f;
        if (c < s.channels) {
            const int own = (s.per_picture ? picture * s.channels : 0) + c;
            const float g = gamma ? gamma[own] : 1.0f, r = rho ? rho[c] : 1.0f;
            const float rate = 1.0f / sqrtf(squares[c] / (pixels - less) + s.epsilon);
            factor = g * (rho ? r * rate + (1.0f - r) * layer_rate : rate);
            offset = (beta ? beta[own] : 0.0f) -
                     g * (rho ? r * means[c] * rate + (1.0f - r) * layer_mean * layer_rate
                              : means[c] * rate);
        }
        scale[(size_t)picture * wide + c] = factor;
        shift[(size_t)picture * wide + c] = offset;
    }
}

__global__ void __launch_bounds__(THREADS)
    mean(int channels, int tiles, const float *partials, float *out)
{
    const struct moments m = {partials +
                                  (size_t)blockIdx.x * kernel_partial_floats(tiles, channels),
                              tiles, kernel_channels(channels)};
    float *scratch = (float *)launch_shared(), *means = scratch + THREADS;
    find_means(m, channels, scratch, means);
    for (int c = (int)threadIdx.x; c < channels; c += THREADS)
        out[(size_t)blockIdx.x * channels + c] = means[c];
}

} // namespace

cudaError_t kernel_norm_factors(const struct kernel_norm *shape, const float *partials,
                                const float *rho, const float *gamma, const float *beta,
                                float *out_scale, float *out_shift, int *bad, cudaStream_t stream)
{
    const size_t floats = THREADS + 2 * (size_t)kernel_channels(shape->channels);
    if (shape->pictures < 1 || shape->channels < 1 || shape->tiles < 1)
        return cudaErrorInvalidValue;
    return launch(factors, dim3((unsigned)shape->pictures), dim3(THREADS), floats * sizeof(float),
                  stream, *shape, partials, rho, gamma, beta, out_scale, out_shift, bad);
}

cudaError_t kernel_mean(int pictures, int channels, int tiles, const float *partials,
                        float *out_mean, cudaStream_t stream)
{
    const size_t floats = THREADS + (size_t)kernel_channels(channels);
    if (pictures < 1 || channels < 1 || tiles < 1)
        return cudaErrorInvalidValue;
    return launch(mean, dim3((unsigned)pictures), dim3(THREADS), floats * sizeof(float), stream,
                  channels, tiles, partials, out_mean);
}
