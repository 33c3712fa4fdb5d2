/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/plain.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace
{

const int THREADS = 256;

__device__ float load(const float *p)
{
    return *p;
}
__device__ float load(const __half *p)
{
    return __half2float(*p);
}
__device__ float load(const __nv_bfloat16 *p)
{
    return __bfloat162float(*p);
}
__device__ void store(float *p, float v)
{
    *p = v;
}
__device__ void store(__half *p, float v)
{
    *p = __float2half_rn(v);
}
__device__ void store(__nv_bfloat16 *p, float v)
{
    *p = __float2bfloat16_rn(v);
}

__device__ int64_t grid_index()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* Reflection without repeating the edge: -1 is 1, n is n-2. */
__device__ int reflect(int i, int n)
{
    i = i < 0 ? -i : i;
    return i < n ? i : 2 * (n - 1) - i;
}

/* A convolution is a product of matrices, [O][I*K*K] by [I*K*K][pixels], whose second one is
 * gathered while it is loaded. A block computes 64 outputs x 64 pixels of one picture, 16 rows of
 * the sum at a time; each of 256 threads keeps 4 x 4 sums. */
const int TILE = 64, DEPTH = 16, EACH = 4;

template <typename T>
__global__ void conv(struct plain_conv s, const T *in, const T *weight, const float *bias, T *out)
{
    __shared__ float a[DEPTH][TILE + 1], b[DEPTH][TILE + 1];
    const int depth = s.inputs * s.kernel * s.kernel, pixels = s.out_h * s.out_w;
    const int seen_h = s.in_h << s.doubled, seen_w = s.in_w << s.doubled;
    const int first_pixel = blockIdx.x * TILE, first_output = blockIdx.y * TILE;
    const int t = threadIdx.x, column = t % 16, row = t / 16;
    const T *picture = in + (int64_t)blockIdx.z * s.inputs * s.in_h * s.in_w;
    float sum[EACH][EACH] = {};
    for (int first = 0; first < depth; first += DEPTH) {
        for (int i = t; i < DEPTH * TILE; i += THREADS) {
            int o = first_output + i / DEPTH, k = first + i % DEPTH;
            a[i % DEPTH][i / DEPTH] =
                o < s.outputs && k < depth ? load(weight + (int64_t)o * depth + k) : 0.0f;
        }
        for (int i = t; i < DEPTH * TILE; i += THREADS) {
            int pixel = first_pixel + i % TILE, k = first + i / TILE;
            float v = 0.0f;
            if (pixel < pixels && k < depth) {
                int tap = k % (s.kernel * s.kernel), c = k / (s.kernel * s.kernel);
                int y = pixel / s.out_w * s.stride + tap / s.kernel - s.pad;
                int x = pixel % s.out_w * s.stride + tap % s.kernel - s.pad;
                y = reflect(y, seen_h) >> s.doubled;
                x = reflect(x, seen_w) >> s.doubled;
                v = load(picture + ((int64_t)c * s.in_h + y) * s.in_w + x);
            }
            b[i / TILE][i % TILE] = v;
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; k++)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++)
                    sum[i][j] += a[k][row + 16 * i] * b[k][column + 16 * j];
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            int o = first_output + row + 16 * i, pixel = first_pixel + column + 16 * j;
            if (o < s.outputs && pixel < pixels)
                store(out + ((int64_t)blockIdx.z * s.outputs + o) * pixels + pixel,
                      sum[i][j] + (bias ? bias[o] : 0.0f));
        }
}

/* Adds up one value of each thread, in an order that is always the same. */
__device__ float block_sum(float value)
{
    __shared__ float part[THREADS];
    part[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    float sum = part[0];
    __syncthreads();
    return sum;
}

template <typename T> __global__ void moments(int plane, const T *in, float *mean, float *squares)
{
    const T *values = in + (int64_t)blockIdx.x * plane;
    float sum = 0.0f, square = 0.0f;
    for (int i = threadIdx.x; i < plane; i += THREADS)
        sum += load(values + i);
    const float m = block_sum(sum) / plane;
    for (int i = threadIdx.x; i < plane; i += THREADS)
        square += (load(values + i) - m) * (load(values + i) - m);
    square = block_sum(square);
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = m;
        squares[blockIdx.x] = square;
    }
}

/* One block for each picture. */
__global__ void norm_factors(struct plain_norm s, const float *mean, const float *squares,
                             const float *rho, const float *gamma, const float *beta, float *scale,
                             float *shift, int *bad)
{
    const int first = blockIdx.x * s.channels;
    const float n = (float)s.plane, all = n * s.channels;
    float part = 0.0f;
    for (int c = threadIdx.x; c < s.channels; c += THREADS)
        part += mean[first + c];
    const float layer_mean = block_sum(part) / s.channels;
    part = 0.0f;
    for (int c = threadIdx.x; c < s.channels; c += THREADS) {
        float d = mean[first + c] - layer_mean;
        part += squares[first + c] + n * d * d;
    }
    const float layer_squares = block_sum(part);
    const float layer_rate = rsqrtf(layer_squares / (s.unbiased ? all - 1 : all) + s.epsilon);
    if (threadIdx.x == 0 && !isfinite(layer_squares))
        atomicMin(bad, s.layer);
    for (int c = threadIdx.x; c < s.channels; c += THREADS) {
        float m = mean[first + c];
        float rate = rsqrtf(squares[first + c] / (s.unbiased ? n - 1 : n) + s.epsilon);
        float factor = rate, offset = -m * rate;
        if (rho) {
            int own = (s.per_picture ? first : 0) + c;
            float r = rho[c], g = gamma[own];
            factor = g * (r * rate + (1 - r) * layer_rate);
            offset = beta[own] - g * (r * m * rate + (1 - r) * layer_mean * layer_rate);
        }
        scale[first + c] = factor;
        shift[first + c] = offset;
    }
}

template <typename T>
__global__ void scale_shift(int64_t count, int plane, const T *in, const float *scale,
                            const float *shift, T *out)
{
    int64_t i = grid_index();
    if (i < count)
        store(out + i, load(in + i) * scale[i / plane] + shift[i / plane]);
}

template <typename T> __global__ void relu(int64_t count, const T *in, T *out)
{
    int64_t i = grid_index();
    if (i < count)
        store(out + i, fmaxf(load(in + i), 0.0f));
}

template <typename T> __global__ void add(int64_t count, const T *a, const T *b, T *out)
{
    int64_t i = grid_index();
    if (i < count)
        store(out + i, load(a + i) + load(b + i));
}

template <typename T> __global__ void upsample(int64_t count, int h, int w, const T *in, T *out)
{
    int64_t i = grid_index();
    if (i >= count)
        return;
    int x = i % (2 * w), y = i / (2 * w) % (2 * h);
    int64_t plane = i / (4 * (int64_t)h * w);
    out[i] = in[(plane * h + y / 2) * w + x / 2];
}

template <typename T>
__global__ void cam(int64_t count, int channels, int plane, const T *in, const float *gap,
                    const float *gmp, T *out)
{
    int64_t i = grid_index();
    if (i >= count)
        return;
    int64_t c = i / plane % (2 * channels), n = i / plane / (2 * channels);
    float factor = c < channels ? gap[c] : gmp[c - channels];
    store(out + i, factor * load(in + (n * channels + c % channels) * plane + i % plane));
}

template <typename In, typename T>
__global__ void connected(int outputs, int64_t inputs, const In *in, const T *weight, float *out)
{
    const T *row = weight + (int64_t)blockIdx.x * inputs;
    const In *values = in + (int64_t)blockIdx.y * inputs;
    float sum = 0.0f;
    for (int64_t i = threadIdx.x; i < inputs; i += THREADS)
        sum += load(row + i) * load(values + i);
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        out[(int64_t)blockIdx.y * outputs + blockIdx.x] = sum;
}

template <typename T> __global__ void from_float(int64_t count, const float *in, T *out)
{
    int64_t i = grid_index();
    if (i < count)
        store(out + i, in[i]);
}

template <typename T>
__global__ void to_float(int64_t count, const T *in, int with_tanh, float *out, int layer, int *bad)
{
    int64_t i = grid_index();
    if (i >= count)
        return;
    float v = load(in + i);
    if (!isfinite(v))
        atomicMin(bad, layer);
    out[i] = with_tanh ? tanhf(v) : v;
}

unsigned blocks_for(int64_t count)
{
    return (unsigned)((count + THREADS - 1) / THREADS);
}

} // namespace

/* Runs the statement with T as the type that `type` names. */
#define WITH_TYPE(type, statement)                                                                 \
    switch (type) {                                                                                \
    case PLAIN_F32: {                                                                              \
        typedef float T;                                                                           \
        statement;                                                                                 \
        break;                                                                                     \
    }                                                                                              \
    case PLAIN_F16: {                                                                              \
        typedef __half T;                                                                          \
        statement;                                                                                 \
        break;                                                                                     \
    }                                                                                              \
    case PLAIN_BF16: {                                                                             \
        typedef __nv_bfloat16 T;                                                                   \
        statement;                                                                                 \
        break;                                                                                     \
    }                                                                                              \
    }

cudaError_t plain_conv(enum plain_type type, const struct plain_conv *shape, const void *in,
                       const void *weight, const float *bias, void *out, cudaStream_t stream)
{
    const dim3 grid((shape->out_h * shape->out_w + TILE - 1) / TILE,
                    (shape->outputs + TILE - 1) / TILE, shape->pictures);
    WITH_TYPE(type, (conv<T><<<grid, THREADS, 0, stream>>>(*shape, (const T *)in, (const T *)weight,
                                                           bias, (T *)out)))
    return cudaGetLastError();
}

cudaError_t plain_moments(enum plain_type type, int planes, int plane, const void *in, float *mean,
                          float *squares, cudaStream_t stream)
{
    WITH_TYPE(type,
              (moments<T><<<planes, THREADS, 0, stream>>>(plane, (const T *)in, mean, squares)))
    return cudaGetLastError();
}

cudaError_t plain_norm_factors(const struct plain_norm *shape, const float *mean,
                               const float *squares, const float *rho, const float *gamma,
                               const float *beta, float *scale, float *shift, int *bad,
                               cudaStream_t stream)
{
    norm_factors<<<shape->pictures, THREADS, 0, stream>>>(*shape, mean, squares, rho, gamma, beta,
                                                          scale, shift, bad);
    return cudaGetLastError();
}

cudaError_t plain_scale_shift(enum plain_type type, int planes, int plane, const void *in,
                              const float *scale, const float *shift, void *out,
                              cudaStream_t stream)
{
    const int64_t count = (int64_t)planes * plane;
    WITH_TYPE(type, (scale_shift<T><<<blocks_for(count), THREADS, 0, stream>>>(
                        count, plane, (const T *)in, scale, shift, (T *)out)))
    return cudaGetLastError();
}

cudaError_t plain_relu(enum plain_type type, int64_t count, const void *in, void *out,
                       cudaStream_t stream)
{
    WITH_TYPE(type,
              (relu<T><<<blocks_for(count), THREADS, 0, stream>>>(count, (const T *)in, (T *)out)))
    return cudaGetLastError();
}

cudaError_t plain_add(enum plain_type type, int64_t count, const void *a, const void *b, void *out,
                      cudaStream_t stream)
{
    WITH_TYPE(type, (add<T><<<blocks_for(count), THREADS, 0, stream>>>(count, (const T *)a,
                                                                       (const T *)b, (T *)out)))
    return cudaGetLastError();
}

cudaError_t plain_upsample(enum plain_type type, int planes, int h, int w, const void *in,
                           void *out, cudaStream_t stream)
{
    const int64_t count = (int64_t)planes * h * w * 4;
    WITH_TYPE(type, (upsample<T><<<blocks_for(count), THREADS, 0, stream>>>(
                        count, h, w, (const T *)in, (T *)out)))
    return cudaGetLastError();
}

cudaError_t plain_cam(enum plain_type type, int pictures, int channels, int plane, const void *in,
                      const float *gap, const float *gmp, void *out, cudaStream_t stream)
{
    const int64_t count = (int64_t)pictures * 2 * channels * plane;
    WITH_TYPE(type, (cam<T><<<blocks_for(count), THREADS, 0, stream>>>(
                        count, channels, plane, (const T *)in, gap, gmp, (T *)out)))
    return cudaGetLastError();
}

cudaError_t plain_connected(enum plain_type type, int pictures, int outputs, int64_t inputs,
                            const void *in, int in_is_vector, const void *weight, float *out,
                            cudaStream_t stream)
{
    const dim3 grid(outputs, pictures);
    if (in_is_vector) {
        WITH_TYPE(type, (connected<float, T><<<grid, THREADS, 0, stream>>>(
                            outputs, inputs, (const float *)in, (const T *)weight, out)))
    } else {
        WITH_TYPE(type, (connected<T, T><<<grid, THREADS, 0, stream>>>(
                            outputs, inputs, (const T *)in, (const T *)weight, out)))
    }
    return cudaGetLastError();
}

cudaError_t plain_from_float(enum plain_type type, int64_t count, const float *in, void *out,
                             cudaStream_t stream)
{
    WITH_TYPE(type, (from_float<T><<<blocks_for(count), THREADS, 0, stream>>>(count, in, (T *)out)))
    return cudaGetLastError();
}

cudaError_t plain_to_float(enum plain_type type, int64_t count, const void *in, int with_tanh,
                           float *out, int layer, int *bad, cudaStream_t stream)
{
    WITH_TYPE(type, (to_float<T><<<blocks_for(count), THREADS, 0, stream>>>(
                        count, (const T *)in, with_tanh, out, layer, bad)))
    return cudaGetLastError();
}
