/* SPDX-License-Identifier: MIT
 *
 * The kernels of the CUDA backend, as C functions that put one step of a network into a stream.
 *
 *     struct kernel_conv conv = {.type = KERNEL_F16, .arch = 90, .inputs = 256, .in_h = 64, …};
 *     kernel_conv_pack(&conv, &(struct kernel_conv_values){.weight = oikk}, host);     // once
 *     kernel_conv(&conv, pictures, in, packed, out, partials, stream);
 *     kernel_norm_factors(&norm, partials, …, scale, shift, bad, stream);
 *     kernel_apply(&apply, out, scale, shift, NULL, NULL, out, stream);
 *
 * Activations are [picture][y][x][channel] (NHWC) in `type`, their channels rounded up to 8 with
 * zeros: kernel_channels(). Every pointer is borrowed until the stream is past the step, points to
 * device memory unless it is said to be the host's, and is aligned to 16 bytes.
 *
 * A picture's bytes depend on the layer and the architecture only: never on the number of pictures
 * or on its place among them. A tile is never of two pictures, sums are taken in a fixed order, and
 * no floating-point atomic exists.
 *
 * Functions return cudaSuccess or the error of the launch. They keep no state: any thread may call
 * them with a stream of its own. */
#ifndef DARKROOM_GPU_CUDA_KERNELS_H
#define DARKROOM_GPU_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __CUDACC__
#define KERNEL_INLINE static __host__ __device__ inline
#else
#define KERNEL_INLINE static inline
#endif

enum kernel_type { KERNEL_F32, KERNEL_F16, KERNEL_BF16 };
enum kernel_act { KERNEL_ACT_NONE, KERNEL_RELU, KERNEL_PRELU, KERNEL_SIGMOID, KERNEL_TANH };

/* Channels as they are stored. */
KERNEL_INLINE int kernel_channels(int channels)
{
    return (channels + 7) / 8 * 8;
}

/* Does this architecture (10 * major + minor) compute in this type? bfloat16 needs 80. */
KERNEL_INLINE bool kernel_type_runs(enum kernel_type type, int arch)
{
    return arch >= (type == KERNEL_BF16 ? 80 : 75);
}

/* A convolution, or a transposed one, of one picture [in_h][in_w][inputs] to
 * [out_h][out_w][outputs]. Output row y reads the rows y * stride - pad + (0 … kernel - 1) of what
 * it sees, which is the input, or the input with each pixel doubled both ways. What lies outside is
 * a reflection that doesn't repeat the edge, or zero; rows after the end need no number: out_h asks
 * for them. Transposed: input row y is added to the rows y * stride - pad + (0 … kernel - 1). */
struct kernel_conv {
    enum kernel_type type;
    int arch; /* 10 * major + minor of the device; with the layer it chooses the kernel */
    int inputs, in_h, in_w;
    int outputs, out_h, out_w;
    int kernel, stride, pad; /* stride 1 or 2 */
    bool zeros;              /* else reflection */
    bool doubled;            /* the input is seen twice as high and wide */
    bool transposed;         /* zeros around; not with `doubled` */
    bool shuffled;           /* store as PixelShuffle(2) does: [2 out_h][2 out_w][outputs / 4],
                                channel 4 c + 2 dy + dx at 2 y + dy, 2 x + dx; outputs % 32 == 0 */
    bool statistics;         /* partials are wanted, of what is stored */
    enum kernel_act act;     /* after the bias */
};

/* The host's, in the order of the weights file. */
struct kernel_conv_values {
    const float *weight; /* [O][I][K][K]; transposed: [I][O][K][K] */
    const float *bias;   /* [O]; NULL: none */
    const float *slope;  /* KERNEL_PRELU: [slopes] */
    int slopes;          /* 1, or as many as channels are stored: O, shuffled O / 4 */
};

/* NULL if the kernels can do this, or what they cannot (static text). Checks everything that the
 * functions below assume. */
const char *kernel_conv_refuses(const struct kernel_conv *shape);
/* Bytes of the packed weights, bias and slopes; kernel_conv_pack() writes them on the host. */
size_t kernel_conv_weight_bytes(const struct kernel_conv *shape);
void kernel_conv_pack(const struct kernel_conv *shape, const struct kernel_conv_values *values,
                      void *out_host);
/* Tiles of one picture: each leaves one partial for each channel. */
int kernel_conv_tiles(const struct kernel_conv *shape);
/* `partials`: [pictures] × kernel_partial_floats(tiles, outputs), NULL without statistics. */
cudaError_t kernel_conv(const struct kernel_conv *shape, int pictures, const void *in,
                        const void *weight, void *out, float *partials, cudaStream_t stream);

/* Partials of one picture: [tiles][2][stored channels] means and sums of squared distances from
 * them, then [tiles] numbers of pixels. Of what is stored, so that what is normalised has exactly
 * these moments; distances from the tile's own mean, so that nothing cancels. */
KERNEL_INLINE size_t kernel_partial_floats(int tiles, int channels)
{
    return (size_t)tiles * (2 * (size_t)kernel_channels(channels) + 1);
}

/* The factors with which normalising is x * scale + shift. With m, v the moments over a channel's
 * pixels and M, V those over all channels:
 *     rho NULL   gamma * (x - m) / sqrt(v + eps) + beta
 *     rho        gamma * (rho * (x - m) / sqrt(v + eps) + (1 - rho) * (x - M) / sqrt(V + eps)) +
 * beta gamma and beta may be NULL: 1 and 0. */
struct kernel_norm {
    int pictures, channels;
    int tiles;        /* of one picture: kernel_conv_tiles() */
    bool unbiased;    /* v and V divide by n - 1 */
    bool per_picture; /* gamma and beta are [pictures][channels], else [channels] */
    float epsilon;
    int layer; /* atomicMin(bad, layer) where the moments are NaN or infinite */
};
/* rho [channels]; out: scale and shift [pictures][stored channels]. */
cudaError_t kernel_norm_factors(const struct kernel_norm *shape, const float *partials,
                                const float *rho, const float *gamma, const float *beta,
                                float *out_scale, float *out_shift, int *bad, cudaStream_t stream);

/* Average of each channel, [pictures][channels]. */
cudaError_t kernel_mean(int pictures, int channels, int tiles, const float *partials,
                        float *out_mean, cudaStream_t stream);

/* out = act(in * scale + shift) + other; up to KERNEL_APPLY_CHANNELS, act not KERNEL_SIGMOID. */
#define KERNEL_APPLY_CHANNELS 2048
struct kernel_apply {
    enum kernel_type type;
    int pictures, channels, pixels;
    bool per_picture; /* scale and shift are [pictures][stored channels], else [stored channels] */
    enum kernel_act act;
};
/* scale and shift may be NULL together, other may be; slope (KERNEL_PRELU) is [stored channels].
 * `out` may be `in` or `other`. */
cudaError_t kernel_apply(const struct kernel_apply *shape, const void *in, const float *scale,
                         const float *shift, const float *slope, const void *other, void *out,
                         cudaStream_t stream);

/* out[n][o] = act(bias[o] + sum of weight[o][i] * in[n][i]), all floats. bias may be NULL; no
 * KERNEL_PRELU. */
cudaError_t kernel_connected(int pictures, int inputs, int outputs, enum kernel_act act,
                             const float *in, const float *weight, const float *bias, float *out,
                             cudaStream_t stream);

/* The same over whole pictures of `type`; each weight is read once for 32 pictures. */
struct kernel_connected {
    enum kernel_type type;
    int channels, pixels; /* of the input; the weights file has them as [channel][pixel] */
    int outputs;
    enum kernel_act act; /* not KERNEL_PRELU */
};
size_t kernel_connected_row_bytes(const struct kernel_connected *shape);
/* One output's row [channels][pixels] as the kernel reads it; rows lie one after the other. Both
 * pointers are the host's. */
void kernel_connected_pack(const struct kernel_connected *shape, const float *row, void *out_row);
/* Floats of workspace for each picture. */
size_t kernel_connected_workspace(const struct kernel_connected *shape);
cudaError_t kernel_connected_pictures(const struct kernel_connected *shape, int pictures,
                                      const void *in, const void *weight, const float *bias,
                                      float *workspace, float *out, cudaStream_t stream);

/* Floats [pictures][channels][pixels] to activations, and back through `act`. NaN or infinity in
 * what is read back: atomicMin(bad, layer). */
cudaError_t kernel_from_planes(enum kernel_type type, int pictures, int channels, int pixels,
                               const float *planes, void *out, cudaStream_t stream);
cudaError_t kernel_to_planes(enum kernel_type type, int pictures, int channels, int pixels,
                             enum kernel_act act, const void *in, float *out_planes, int layer,
                             int *bad, cudaStream_t stream);
/* Sum of a pixel's channels, [pictures][pixels]: the attention's heat map. */
cudaError_t kernel_channel_sum(enum kernel_type type, int pictures, int channels, int pixels,
                               const void *in, float *out_sums, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
