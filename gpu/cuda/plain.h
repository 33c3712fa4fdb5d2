/* SPDX-License-Identifier: MIT
 *
 * The layers of a network as kernels: one launch each, NCHW, all pictures of a batch at once.
 *
 * Activations and weights are stored as `type` and computed in float; vectors (what means and
 * connected layers give), scales and shifts are float. A block's work and the order of its sums
 * follow from the layer's shape alone, so a picture's bytes do not depend on its batch.
 * All pointers are device memory, borrowed. Launches are asynchronous on `stream`; each function
 * gives what cudaGetLastError() says. */
#ifndef DARKROOM_GPU_CUDA_PLAIN_H
#define DARKROOM_GPU_CUDA_PLAIN_H

#include <cuda_runtime_api.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum plain_type { PLAIN_F32, PLAIN_F16, PLAIN_BF16 };

struct plain_conv {
    int pictures;
    int inputs, in_h, in_w; /* as stored, before doubling */
    int outputs, out_h, out_w;
    int kernel, stride, pad;
    int doubled; /* 1: the input is seen twice as high and wide, nearest neighbour */
};

cudaError_t plain_conv(enum plain_type type, const struct plain_conv *shape, const void *in,
                       const void *weight, const float *bias, void *out, cudaStream_t stream);

/* mean and sum of squared differences of each of `planes` planes. */
cudaError_t plain_moments(enum plain_type type, int planes, int plane, const void *in, float *mean,
                          float *squares, cudaStream_t stream);

struct plain_norm {
    int pictures, channels, plane;
    int unbiased;
    float epsilon;
    int per_picture; /* gamma and beta are [pictures][channels], not [channels] */
    int layer;       /* put into *bad where a moment is NaN or infinite */
};

/* The norm's scale and shift, [pictures][channels] each. rho, gamma, beta NULL: instance norm.
 * *bad becomes the least layer that gave nonsense. */
cudaError_t plain_norm_factors(const struct plain_norm *shape, const float *mean,
                               const float *squares, const float *rho, const float *gamma,
                               const float *beta, float *scale, float *shift, int *bad,
                               cudaStream_t stream);

cudaError_t plain_scale_shift(enum plain_type type, int planes, int plane, const void *in,
                              const float *scale, const float *shift, void *out,
                              cudaStream_t stream);
cudaError_t plain_relu(enum plain_type type, int64_t count, const void *in, void *out,
                       cudaStream_t stream);
cudaError_t plain_add(enum plain_type type, int64_t count, const void *a, const void *b, void *out,
                      cudaStream_t stream);
cudaError_t plain_upsample(enum plain_type type, int planes, int h, int w, const void *in,
                           void *out, cudaStream_t stream);
/* [pictures][channels][plane] to twice as many channels: times gap, then times gmp. */
cudaError_t plain_cam(enum plain_type type, int pictures, int channels, int plane, const void *in,
                      const float *gap, const float *gmp, void *out, cudaStream_t stream);
/* out[n][f] = sum of weight[f][i] * in[n][i]; `in` is float where in_is_vector. */
cudaError_t plain_connected(enum plain_type type, int pictures, int outputs, int64_t inputs,
                            const void *in, int in_is_vector, const void *weight, float *out,
                            cudaStream_t stream);
/* From float to `type` and back; the way back may pass through tanh, and notes nonsense. */
cudaError_t plain_from_float(enum plain_type type, int64_t count, const float *in, void *out,
                             cudaStream_t stream);
cudaError_t plain_to_float(enum plain_type type, int64_t count, const void *in, int with_tanh,
                           float *out, int layer, int *bad, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
