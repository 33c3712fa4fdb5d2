/* SPDX-License-Identifier: MIT
 *
 * Photographs to drawings: the generator of CartoonGAN (Chen, Lai, Liu: "CartoonGAN: Generative
 * Adversarial Networks for Photo Cartoonization", CVPR 2018), as its authors' PyTorch test program
 * computes it, from its own tensor names (conv01_1.weight … deconv03_1.bias). 11.1 M values with 64
 * channels in the first layer. Pictures are blue, green, red; any multiple of 4 fits.
 *
 * Immutable; any thread. */
#ifndef DARKROOM_GPU_MODELS_CARTOONGAN_H
#define DARKROOM_GPU_MODELS_CARTOONGAN_H

struct architecture;

extern const struct architecture architecture_cartoongan; /* architectures.h */

#endif
