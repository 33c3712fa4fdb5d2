/* SPDX-License-Identifier: MIT
 *
 * Four times as wide and high: the generator of Fast-SRGAN (HasnainRaz/Fast-SRGAN, after Ledig et
 * al.: "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR
 * 2017), from its own tensor names, with or without the "_orig_mod." that torch.compile() puts in
 * front. 0.93 M values with 64 channels and 8 blocks. Any size fits.
 *
 * Immutable; any thread. */
#ifndef DARKROOM_GPU_MODELS_FAST_SRGAN_H
#define DARKROOM_GPU_MODELS_FAST_SRGAN_H

struct architecture;

extern const struct architecture architecture_fast_srgan; /* architectures.h */

#endif
