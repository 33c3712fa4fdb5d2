/* SPDX-License-Identifier: MIT
 *
 * A photograph in the manner of one painting: the transformation network of fast style transfer
 * (Johnson, Alahi, Li: "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV
 * 2016, with Ulyanov's instance normalisation) as lengstrom/fast-style-transfer trains it in
 * TensorFlow, from its own variables: Variable_3k a kernel in HWIO, Variable_(3k+1) the shift and
 * Variable_(3k+2) the scale of the norm behind it. 1.68 M values. Any multiple of 4 fits.
 *
 * Immutable; any thread. */
#ifndef DARKROOM_GPU_MODELS_FAST_STYLE_TRANSFER_H
#define DARKROOM_GPU_MODELS_FAST_STYLE_TRANSFER_H

struct architecture;

extern const struct architecture architecture_fast_style_transfer; /* architectures.h */

#endif
