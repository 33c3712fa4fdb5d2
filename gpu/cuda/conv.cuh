/* SPDX-License-Identifier: MIT
 *
 * What the three kernels of convolutions share: where a tile's pixels are read and written, the
 * walk along the sum, and what happens to a finished tile.
 *
 *     conv_block<PIXELS> *block = …;                  // in shared memory
 *     conv_block_fill(plan, block);                   __syncthreads();
 *     conv_walk walk; walk.start(plan, block->tile.phase, piece);
 *     for each slice { … block->source(walk, row) …; walk.next(plan, block->tile.phase); }
 *     staging.put(row, output, sums…);                __syncthreads();
 *     staging.finish(out, partials);
 *
 * Every block has CONV_THREADS threads. */
#ifndef DARKROOM_GPU_CUDA_CONV_CUH
#define DARKROOM_GPU_CUDA_CONV_CUH

#include "gpu/cuda/conv_plan.h"
#include "gpu/cuda/ptx.cuh"
#include "gpu/cuda/value.cuh"

#define CONV_THREADS 256
/* A source that is outside: far enough below zero that another offset doesn't bring it back. */
#define CONV_NOWHERE (-0x40000000)

/* Which pixels and outputs this block computes. */
struct conv_tile {
    struct conv_phase phase;
    int picture;
    int output_tile;
    int tile;     /* of the picture */
    int first;    /* pixel of the phase; head: column */
    int row;      /* head: of the phase */
    int computed; /* rows of the product that are pixels */
    int stored;   /* of these, from the first on: the others are only summands of a head */
};

static __device__ __forceinline__ struct conv_tile conv_tile_of(const struct conv_plan &plan)
{
    struct conv_tile t;
    t.picture = (int)blockIdx.z;
    t.output_tile = (int)blockIdx.x % plan.output_tiles;
    t.tile = (int)blockIdx.x / plan.output_tiles;
    t.phase = plan.phase[0];
#pragma unroll
    for (int i = 1; i < CONV_PHASES; i++) /* numbers known when compiling: it stays in registers */
        if (i < plan.phases && t.tile >= plan.phase[i].first_tile)
            t.phase = plan.phase[i];
    const int number = t.tile - t.phase.first_tile;
    t.row = 0;
    t.first = number * plan.tile_pixels;
    t.computed = min(plan.tile_pixels, t.phase.rows * t.phase.columns - t.first);
    t.stored = t.computed;
    if (plan.head) {
        const int step = plan.tile_pixels - (plan.head - 1);
        const int across = (t.phase.columns + step - 1) / step;
        t.row = number / across;
        t.first = number % across * step;
        t.computed = min(plan.tile_pixels, t.phase.columns - t.first + plan.head - 1);
        t.stored = t.computed - (plan.head - 1);
    }
    return t;
}

/* One piece of each slice, as conv_pack.c orders them. */
struct conv_walk {
    int piece; /* of the tap's channels */
    int tap_y, tap_x;
    bool whole; /* a slice is of one tap */

    __device__ __forceinline__ void start(const struct conv_plan &plan, const struct conv_phase &f,
                                          int first)
    {
        piece = first;
        tap_y = tap_x = 0;
        whole = plan.in_pieces % plan.slice_pieces == 0;
        if (!whole)
            carry(plan, f);
    }

    __device__ __forceinline__ void next(const struct conv_plan &plan, const struct conv_phase &f)
    {
        if (!whole) {
            piece += plan.slice_pieces;
            carry(plan, f);
        } else if (next_tap(f)) {
            tap_y = 0;
            piece += plan.slice_pieces;
        }
    }

    /* True behind the last tap; tap_y is then taps_y. */
    __device__ __forceinline__ bool next_tap(const struct conv_phase &f)
    {
        if (++tap_x == f.taps_x) {
            tap_x = 0;
            tap_y++;
        }
        return tap_y == f.taps_y;
    }

    __device__ __forceinline__ void carry(const struct conv_plan &plan, const struct conv_phase &f)
    {
        while (piece >= plan.in_pieces && tap_y < f.taps_y) {
            piece -= plan.in_pieces;
            next_tap(f);
        }
    }
};

/* What a block knows of its tile, in shared memory rather than in everybody's registers. */
template <int PIXELS> struct conv_block {
    struct conv_tile tile;
    int pixel[PIXELS]; /* where in the stored picture */

    /* Behind it [taps_y][PIXELS] of rows, then [taps_x][PIXELS] of columns: their sum is the
     * input's piece of channel 0. */
    __device__ __forceinline__ int *offsets(int tap)
    {
        return (int *)(this + 1) + tap * PIXELS;
    }

    /* The piece of the picture that row `row` of this slice reads; negative: zeros. */
    __device__ __forceinline__ int source(const struct conv_walk &walk, int row)
    {
        const int taps_y = tile.phase.taps_y;
        if (walk.tap_y >= taps_y)
            return -1;
        return offsets(walk.tap_y)[row] + offsets(taps_y + walk.tap_x)[row] + walk.piece;
    }
};

static inline size_t conv_block_bytes(const struct conv_plan *plan)
{
    int taps = 0;
    for (int i = 0; i < plan->phases; i++) {
        const int own = plan->phase[i].taps_y + plan->phase[i].taps_x;
        taps = own > taps ? own : taps;
    }
    return sizeof(struct conv_tile) + (size_t)(taps + 1) * (size_t)plan->tile_pixels * sizeof(int);
}

/* The row (or column) of the input that row i of what the convolution sees is; -1: zeros. */
static __device__ __forceinline__ int conv_inside(const struct conv_plan &plan, int i, int size)
{
    const int seen = plan.doubled ? 2 * size : size;
    if (plan.outside == CONV_ZEROS) {
        if (i < 0 || i >= seen)
            return -1;
    } else if (plan.outside == CONV_EDGE) {
        i = min(max(i, 0), seen - 1);
    } else {
        i = i < 0 ? -i : i;
        i = i < seen ? i : 2 * (seen - 1) - i;
    }
    return plan.doubled ? i >> 1 : i;
}

template <int PIXELS>
static __device__ __forceinline__ void conv_block_fill(const struct conv_plan &plan,
                                                       struct conv_block<PIXELS> *block)
{
    const struct conv_tile t = conv_tile_of(plan);
    const int size = plan.shuffled ? 2 : 1;
    if (threadIdx.x == 0)
        block->tile = t;
    for (int row = (int)threadIdx.x; row < PIXELS; row += CONV_THREADS) {
        const bool is_pixel = row < t.computed;
        const int y = plan.head ? t.row : (t.first + row) / t.phase.columns;
        const int x = plan.head ? t.first + row : (t.first + row) % t.phase.columns;
        for (int tap = 0; tap < t.phase.taps_y; tap++) {
            int from = conv_inside(plan, y * plan.stride + t.phase.first_y + tap, plan.in_h);
            block->offsets(tap)[row] =
                is_pixel && from >= 0 ? from * plan.in_w * plan.in_pieces : CONV_NOWHERE;
        }
        for (int tap = 0; tap < t.phase.taps_x; tap++) {
            int from = conv_inside(plan, x * plan.stride + t.phase.first_x + tap, plan.in_w);
            block->offsets(t.phase.taps_y + tap)[row] =
                is_pixel && from >= 0 ? from * plan.in_pieces : CONV_NOWHERE;
        }
        block->pixel[row] = size * ((y * plan.step + t.phase.out_y) * size * plan.out_w +
                                    x * plan.step + t.phase.out_x);
    }
}

/* Stages of packed weights before this tile's. */
static __device__ __forceinline__ size_t conv_first_stage(const struct conv_tile &t)
{
    return (size_t)t.phase.first_stage + (size_t)t.output_tile * t.phase.slices;
}

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
            sum = value_act(plan.act, sum + vectors.bias[o], vectors.slope[o]);
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

/* The finished tile in shared memory, on its way from registers to the picture. */
template <typename T, int PIXELS, int OUTPUTS> struct conv_staging {
    const struct conv_plan &plan;
    const struct conv_block<PIXELS> *block;
    struct conv_vectors vectors;
    unsigned char *shared; /* of which nobody uses the stages any more */

    /* Sums of outputs `output` and the next. */
    __device__ __forceinline__ void put(int row, int output, float first, float second) const
    {
        if (OUTPUTS == CONV_HEAD_OUTPUTS && plan.head) {
            value_store_pair((float *)shared + row * conv_pitch<float>(OUTPUTS) + output, first,
                             second);
            return;
        }
        const int n = block->tile.output_tile * OUTPUTS + output;
        first = value_act(plan.act, first + vectors.bias[n], vectors.slope[n]);
        second = value_act(plan.act, second + vectors.bias[n + 1], vectors.slope[n + 1]);
        value_store_pair((T *)shared + row * conv_pitch<T>(OUTPUTS) + output, first, second);
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

/* A stage of the tensor cores' kernels, in pieces of 16 bytes: A [PIXELS][PIECES] and then
 * B [OUTPUTS][PIECES], whose rows' pieces are exchanged (conv_pack.c does it to the weights) so
 * that eight rows' pieces of one number lie in eight different groups of banks. */
template <int PIXELS, int PIECES, int OUTPUTS> struct conv_stage {
    static const int b = PIXELS * PIECES;
    static const int all = b + OUTPUTS * PIECES;

    static __device__ __forceinline__ int at(int row, int piece)
    {
        return row * PIECES + (piece ^ (PIECES == 8 ? row & 7 : row >> 1 & 3));
    }

    /* Starts the copies of the slice that `walk` is at, and moves it on. Each thread has the same
     * piece of several rows. */
    template <typename T>
    static __device__ __forceinline__ void
    load(const struct conv_plan &plan, struct conv_block<PIXELS> *block, struct conv_walk &walk,
         const T *picture, const value_piece<T> *weight, value_piece<T> *to)
    {
        const int piece = (int)threadIdx.x % PIECES, first = (int)threadIdx.x / PIECES;
#pragma unroll
        for (int row = first; row < PIXELS; row += CONV_THREADS / PIECES) {
            const int from = block->source(walk, row);
            ptx_cp_async_16_cached(to + at(row, piece), picture + (size_t)max(from, 0) * CONV_PIECE,
                                   from >= 0);
        }
#pragma unroll
        for (int i = (int)threadIdx.x; i < OUTPUTS * PIECES; i += CONV_THREADS)
            ptx_cp_async_16(to + b + i, weight + i, true);
        walk.next(plan, block->tile.phase);
    }
};

/* Kernel<T, OUTPUTS>::run() of the half type and the tile's outputs. */
template <template <typename, int> class Kernel, typename T>
static cudaError_t conv_run_outputs(const struct conv_plan *plan, const dim3 &grid, const void *in,
                                    const void *weight, void *out, float *partials,
                                    cudaStream_t stream)
{
    const T *from = (const T *)in, *weights = (const T *)weight;
    switch (plan->tile_outputs) {
    case 32: return Kernel<T, 32>::run(plan, grid, from, weights, (T *)out, partials, stream);
    case 64: return Kernel<T, 64>::run(plan, grid, from, weights, (T *)out, partials, stream);
    case 128: return Kernel<T, 128>::run(plan, grid, from, weights, (T *)out, partials, stream);
    }
    return cudaErrorInvalidValue;
}

template <template <typename, int> class Kernel>
static cudaError_t conv_run_halves(enum kernel_type type, const struct conv_plan *plan,
                                   const dim3 &grid, const void *in, const void *weight, void *out,
                                   float *partials, cudaStream_t stream)
{
    if (type == KERNEL_F16)
        return conv_run_outputs<Kernel, __half>(plan, grid, in, weight, out, partials, stream);
    return conv_run_outputs<Kernel, __nv_bfloat16>(plan, grid, in, weight, out, partials, stream);
}

/* The three kernels; `partials` is NULL without statistics. */
cudaError_t conv_run_fma(const struct conv_plan *plan, const dim3 &grid, const void *in,
                         const void *weight, void *out, float *partials, cudaStream_t stream);
cudaError_t conv_run_mma(enum kernel_type type, const struct conv_plan *plan, const dim3 &grid,
                         const void *in, const void *weight, void *out, float *partials,
                         cudaStream_t stream);
cudaError_t conv_run_wgmma(enum kernel_type type, const struct conv_plan *plan, const dim3 &grid,
                           const void *in, const void *weight, void *out, float *partials,
                           cudaStream_t stream);

#endif
