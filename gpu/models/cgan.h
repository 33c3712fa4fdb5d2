/* SPDX-License-Identifier: MIT
 *
 * Handwritten digits from a number and a seed: the generator of a conditional GAN (Mirza and
 * Osindero, 2014) for MNIST, its layers those of GAN-Demonstrator, in PyTorch's layout.
 *
 *     if (cgan_recognise(weights))
 *         rc = cgan_build(weights, &network, &err);
 *     cgan_input(seed, 0, 7, input);                  // the first digit of the picture: a 7
 *     ... run: CGAN_INPUTS values in, CGAN_SIDE x CGAN_SIDE in [0,1] out ...
 *     cgan_paint(output, 0, count, rgb);              // its tile in a row of `count`
 *
 * Pure functions; any thread. */
#ifndef DARKROOM_GPU_MODELS_CGAN_H
#define DARKROOM_GPU_MODELS_CGAN_H

#include <stdbool.h>
#include <stdint.h>

struct architecture;
struct err;
struct network;
struct weights;

#define CGAN_LATENT 100
#define CGAN_INPUTS (CGAN_LATENT + 10) /* random numbers, then one of ten labels */
#define CGAN_SIDE 28                   /* of a digit as the network draws it */
#define CGAN_TILE 220                  /* of a digit's tile in the picture */
#define CGAN_MAX_DIGITS 10             /* in one picture */

bool cgan_recognise(const struct weights *weights);

/* The network borrows from `weights`. ERR_CORRUPT names the tensor and both shapes. */
int cgan_build(const struct weights *weights, struct network *out_network, struct err *err);

extern const struct architecture architecture_cgan; /* architectures.h */

/* The random numbers of digit `position` (0: the first), exactly: Philox4x32-10 (Salmon et al.,
 * "Parallel random numbers: as easy as 1, 2, 3", 2011) with the key (seed, 0) gives for the counter
 * (i, position, 0, 0) the words of the values 4i to 4i + 3, and a word u becomes
 * (u >> 8) / 2^23 - 1, which a float holds exactly. So a digit depends on the seed, its position
 * and itself, and on no other digit. */
void cgan_input(uint32_t seed, uint32_t position, int digit, float out[CGAN_INPUTS]);

/* One block of the generator. */
void cgan_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Paints one network output into tile `position` of an RGB picture of count * CGAN_TILE by
 * CGAN_TILE: GAN-Demonstrator's geometry, the greys stretched from black to white for each digit,
 * on a white margin. */
void cgan_paint(const float *output, int position, int count, unsigned char *rgb);

#endif
