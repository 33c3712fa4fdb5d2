/* SPDX-License-Identifier: MIT
 *
 * GAN-Demonstrator's generator as Keras saves it.
 *
 *     if (cgan_keras_recognise(weights))
 *         rc = cgan_keras_view(weights, &view, &err);
 *     rc = cgan_build(view, &network, &err);
 *
 * Layers are told apart by what they have and by their order in the file, as their names depend on
 * what the saving program had made before: one dense layer, four batch norms, four transposed
 * convolutions. `weights`: what is at the top of the file, or below model_weights/. Pure functions;
 * any thread. */
#ifndef DARKROOM_GPU_MODELS_CGAN_KERAS_H
#define DARKROOM_GPU_MODELS_CGAN_KERAS_H

#include <stdbool.h>

struct err;
struct weights;

bool cgan_keras_recognise(const struct weights *weights);

/* The tensors under cgan.h's names, channels first: kernels from [H][W][O][I] to IOKK, the dense
 * layer's outputs from [7][7][128] to [128][7][7]. *out_view is owned by the caller and must not
 * outlive `weights`. ERR_CORRUPT names the tensor and both shapes. */
int cgan_keras_view(const struct weights *weights, struct weights **out_view, struct err *err);

#endif
