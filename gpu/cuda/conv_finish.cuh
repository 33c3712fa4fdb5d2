/* SPDX-License-Identifier: MIT
 *
 * What happens to a finished tile of a convolution: bias and activation, from registers to shared
 * memory, from there in pieces of 16 bytes to the picture, and the moments of what is stored.
 *
 *     staging = {plan, block, conv_vectors_at(plan, weight), launch_shared()};
 *     staging.put(staging.ends(output), row, output, sums…);   __syncthreads();
 *     staging.finish(out, partials);
 */
#ifndef DARKROOM_GPU_CUDA_CONV_FINISH_CUH
#define DARKROOM_GPU_CUDA_CONV_FINISH_CUH

#include "gpu/cuda/conv_tile.cuh"
#include "gpu/cuda/value.cuh"

/* Bias and slopes behind the packed weights. */
struct conv_vectors {
    const float *bias, *slope;
};

template <typename T>
static __device__ __forceinline__ struct conv_vectors conv_vectors_at(const struct conv_plan &plan,
                                                                      const T *weight)
{
    struct conv_vectors v;
    v.bias = (const float *)(weight + (size_t)plan.stages * plan.tile_outputs * plan.slice_pieces *
                                          CONV_PIECE);
    v.slope = v.bias + plan.output_tiles * plan.tile_outputs;
    return v;
}

/* Values of a staged row: padded so that rows start in different banks, 16 bytes aligned. */
template <typename T> __host__ __device__ constexpr int conv_pitch(int outputs)
{
    return outputs + 16 / (int)sizeof(T);
}

/* Bytes of scratch for conv_finish(). */
#define CONV_SCRATCH_BYTES (CONV_THREADS * 2 * 2 * (int)sizeof(float))

/* Means and squared distances of the staged columns. Each thread takes two neighbouring outputs and
 * some rows, in two passes (the mean, then distances from it); one thread for each output puts the
 * groups of rows together, in order. */
template <typename T, int PIXELS, int OUTPUTS>
static __device__ void conv_statistics(const struct conv_plan &plan, const struct conv_tile &t,
                                       const T *staged, float *scratch, float *partials)
{
    constexpr int PAIRS = OUTPUTS / 2, GROUPS = CONV_THREADS / PAIRS, ROWS = PIXELS / GROUPS;
    static_assert(GROUPS * ROWS == PIXELS, "all rows");
    const int pair = (int)threadIdx.x % PAIRS, group = (int)threadIdx.x / PAIRS;
    const int rows = min(max(t.stored - group * ROWS, 0), ROWS);
    const T *from = staged + group * ROWS * conv_pitch<T>(OUTPUTS) + 2 * pair;
    float mean[2] = {0.0f, 0.0f}, squares[2] = {0.0f, 0.0f};
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++)
            mean[i] += value_load(from + r * conv_pitch<T>(OUTPUTS) + i);
    for (int i = 0; i < 2; i++)
        mean[i] = rows ? mean[i] / (float)rows : 0.0f;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++) {
            float d = value_load(from + r * conv_pitch<T>(OUTPUTS) + i) - mean[i];
            squares[i] += d * d;
        }
    float *means = scratch, *distances = scratch + GROUPS * OUTPUTS;
    for (int i = 0; i < 2; i++) {
        means[group * OUTPUTS + 2 * pair + i] = mean[i];
        distances[group * OUTPUTS + 2 * pair + i] = squares[i];
    }
    __syncthreads();
    const int channels = plan.out_pieces * CONV_PIECE, o = (int)threadIdx.x;
    const int channel = t.output_tile * OUTPUTS + o;
    if (o >= OUTPUTS || channel >= channels)
        return;
    float sum = 0.0f, all = 0.0f;
    for (int g = 0; g < GROUPS; g++)
        sum += (float)min(max(t.stored - g * ROWS, 0), ROWS) * means[g * OUTPUTS + o];
    sum /= (float)t.stored;
    for (int g = 0; g < GROUPS; g++) {
        float d = means[g * OUTPUTS + o] - sum;
        all += distances[g * OUTPUTS + o] + (float)min(max(t.stored - g * ROWS, 0), ROWS) * (d * d);
    }
    float *own = partials + (size_t)t.picture * kernel_partial_floats(plan.tiles, channels);
    own[(size_t)t.tile * 2 * channels + channel] = sum;
    own[((size_t)t.tile * 2 + 1) * channels + channel] = all;
    if (channel == 0)
        own[(size_t)plan.tiles * 2 * channels + t.tile] = (float)t.stored;
}

/* Writes the staged tile [PIXELS][conv_pitch(OUTPUTS)] to the picture, in pieces of 16 bytes, and
 * its moments to `partials` unless that is NULL. Behind a barrier. */
template <typename T, int PIXELS, int OUTPUTS>
static __device__ void conv_finish(const struct conv_plan &plan, const struct conv_tile &t,
                                   const int *pixels, const T *staged, float *scratch, T *out,
                                   float *partials)
{
    constexpr int PIECES = OUTPUTS / CONV_PIECE;
    const int quarter = plan.shuffled ? plan.out_pieces / 4 : plan.out_pieces;
    T *picture = out + (size_t)t.picture * plan.out_h * plan.out_w * plan.out_pieces * CONV_PIECE;
    for (int i = (int)threadIdx.x; i < PIXELS * PIECES; i += CONV_THREADS) {
        const int row = i / PIECES, piece = t.output_tile * PIECES + i % PIECES;
        if (row >= t.stored || piece >= plan.out_pieces)
            continue;
        const int place = plan.shuffled ? piece / quarter : 0; /* 2 dy + dx */
        const int pixel = pixels[row] + (place >> 1) * 2 * plan.out_w + (place & 1);
        *(value_piece<T> *)(picture + ((size_t)pixel * quarter + piece % quarter) * CONV_PIECE) =
            *(const value_piece<T> *)(staged + row * conv_pitch<T>(OUTPUTS) +
                                      i % PIECES * CONV_PIECE);
    }
    if (partials)
        conv_statistics<T, PIXELS, OUTPUTS>(plan, t, staged, scratch, partials);
}

/* A head's tile: products[PIXELS][pitch], of which row x, column tap · outputs + o goes to pixel
 * x - tap. Sums them up in the order of the taps and finishes a tile of 8 outputs. */
template <typename T, int PIXELS>
static __device__ void conv_finish_head(const struct conv_plan &plan, const struct conv_tile &t,
                                        const int *pixels, const struct conv_vectors &vectors,
                                        const float *products, int pitch, T *staged, float *scratch,
                                        T *out, float *partials)
{
    for (int i = (int)threadIdx.x; i < PIXELS * CONV_PIECE; i += CONV_THREADS) {
        const int row = i / CONV_PIECE, o = i % CONV_PIECE;
        float sum = 0.0f;
        if (row < t.stored && o < plan.head_outputs) {
            for (int tap = 0; tap < plan.head; tap++)
                sum += products[(row + tap) * pitch + tap * plan.head_outputs + o];
            sum = value_bend(sum + vectors.bias[o], vectors.slope[o]);
        }
        value_store(staged + row * conv_pitch<T>(CONV_PIECE) + o, sum);
    }
    __syncthreads();
    conv_finish<T, PIXELS, CONV_PIECE>(plan, t, pixels, staged, scratch, out, partials);
}

/* Bytes of shared memory before the conv_block: stages of `pieces` pieces while multiplying, then
 * the finished tile. */
template <typename T, int PIXELS, int OUTPUTS>
__host__ __device__ constexpr size_t conv_block_offset(int pieces)
{
    constexpr size_t plain = (size_t)PIXELS * conv_pitch<T>(OUTPUTS) * sizeof(T);
    constexpr size_t head = (size_t)PIXELS * (conv_pitch<float>(OUTPUTS) * sizeof(float) +
                                              conv_pitch<T>(CONV_PIECE) * sizeof(T));
    constexpr size_t tile = (OUTPUTS == CONV_HEAD_OUTPUTS ? head : plain) + CONV_SCRATCH_BYTES;
    const size_t stages = (size_t)pieces * sizeof(value_piece<T>);
    return tile > stages ? tile : stages;
}

struct conv_ends {
    struct value_pair<float> bias, slope;
};

/* The finished tile in shared memory, on its way from registers to the picture. */
template <typename T, int PIXELS, int OUTPUTS> struct conv_staging {
    const struct conv_plan &plan;
    const struct conv_block<PIXELS> *block;
    struct conv_vectors vectors;
    unsigned char *shared; /* of which nobody uses the stages any more */

    /* What outputs `output` and the next get on their way. */
    __device__ __forceinline__ struct conv_ends ends(int output) const
    {
        const int n = block->tile.output_tile * OUTPUTS + output;
        struct conv_ends e;
        e.bias = *(const value_pair<float> *)(vectors.bias + n);
        e.slope = *(const value_pair<float> *)(vectors.slope + n);
        return e;
    }

    /* Sums of a row's outputs `output` and the next. */
    __device__ __forceinline__ void put(const struct conv_ends &e, int row, int output, float first,
                                        float second) const
    {
        if (OUTPUTS == CONV_HEAD_OUTPUTS && plan.head) {
            value_store_pair((float *)shared + row * conv_pitch<float>(OUTPUTS) + output, first,
                             second);
            return;
        }
        value_store_pair((T *)shared + row * conv_pitch<T>(OUTPUTS) + output,
                         value_bend(first + e.bias.value[0], e.slope.value[0]),
                         value_bend(second + e.bias.value[1], e.slope.value[1]));
    }

    /* Behind a barrier. */
    __device__ __forceinline__ void finish(T *out, float *partials) const
    {
        if (OUTPUTS == CONV_HEAD_OUTPUTS && plan.head) {
            float *products = (float *)shared;
            T *staged = (T *)(products + PIXELS * conv_pitch<float>(OUTPUTS));
            conv_finish_head<T, PIXELS>(
                plan, block->tile, block->pixel, vectors, products, conv_pitch<float>(OUTPUTS),
                staged, (float *)(staged + PIXELS * conv_pitch<T>(CONV_PIECE)), out, partials);
            return;
        }
        T *staged = (T *)shared;
        conv_finish<T, PIXELS, OUTPUTS>(plan, block->tile, block->pixel, staged,
                                        (float *)(staged + PIXELS * conv_pitch<T>(OUTPUTS)), out,
                                        partials);
    }
};

#endif
