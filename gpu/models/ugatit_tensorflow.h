/* SPDX-License-Identifier: MIT
 *
 * U-GAT-IT's generator as its TensorFlow implementation saves it: scopes instead of modules, HWIO
 * kernels, biases everywhere, and one classifier for both halves of the attention.
 *
 *     if (ugatit_tensorflow_recognise(weights, &shape, &err) == 0)
 *         rc = ugatit_tensorflow_view(weights, &shape, smoothing, &view, &err);
 *     rc = ugatit_build(view, &shape, 256, &network, &err);
 *
 * `weights`: what is below generator_B/ or generator_A/. Pure functions; any thread. */
#ifndef DARKROOM_GPU_MODELS_UGATIT_TENSORFLOW_H
#define DARKROOM_GPU_MODELS_UGATIT_TENSORFLOW_H

#include <stdbool.h>

struct err;
struct ugatit_shape;
struct weights;

/* As ugatit_recognise(). */
int ugatit_tensorflow_recognise(const struct weights *weights, struct ugatit_shape *out_shape,
                                struct err *err);

/* The generator's tensors under PyTorch's names and in its layout, what the optimizer kept left
 * out. Prepared for inference: the attention's two weight vectors are both kernel + bias, and with
 * `smoothing` the adaptive norms' rho is clip(rho - 0.1, 0, 1), as the original computes them in
 * every run. *out_view is owned by the caller and must not outlive `weights`. ERR_CORRUPT names the
 * tensor and both shapes. */
int ugatit_tensorflow_view(const struct weights *weights, const struct ugatit_shape *shape,
                           bool smoothing, struct weights **out_view, struct err *err);

#endif
