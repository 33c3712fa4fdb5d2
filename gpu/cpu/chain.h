/* SPDX-License-Identifier: MIT
 *
 * Generators that are a straight line: a fully connected layer, then transposed convolutions with
 * batch norm and ReLU between them, and perhaps a sigmoid at the end.
 *
 *     rc = chain_create(&machine, &network, &chain, &err);
 *     rc = chain_run(chain, input, output, &err);
 *     chain_destroy(&chain);
 *
 * Batch norms are folded into the weights before them. A transposed convolution of stride s is an
 * ordinary one whose outputs are the s x s phases of each pixel (the sub-pixel convolution of Shi
 * et al., 2016), so it runs through conv.h. Pictures lie channels-last, zeros around.
 * A chain belongs to the thread of its backend's state. */
#ifndef DARKROOM_GPU_CPU_CHAIN_H
#define DARKROOM_GPU_CPU_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

struct chain;
struct conv_machine;
struct err;
struct network;

/* Whether this network is for a chain, and not for a plan. */
bool chain_fits(const struct network *network);

/* The network is borrowed for the call. ERR_UNSUPPORTED names the layer that breaks the line;
 * ERR_NOMEM, ERR_INTERNAL. */
int chain_create(const struct conv_machine *machine, const struct network *network,
                 struct chain **out_chain, struct err *err);
void chain_destroy(struct chain **chain); /* accepts NULL inside */

/* What it holds. */
size_t chain_bytes(const struct chain *chain);

/* One picture, CHW. ERR_CORRUPT where NaN or infinity comes out. */
int chain_run(struct chain *chain, const float *input, float *output, struct err *err);

#endif
