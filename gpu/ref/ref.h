/* SPDX-License-Identifier: MIT
 *
 * The oracle: computes a network's list of layers one by one, as their definitions read, in plain
 * C with double accumulation. Slow on purpose; the backends are checked against it.
 *
 *     float *out = malloc(network_out_values(&network) * sizeof *out);
 *     rc = ref_run(&network, picture, out, NULL, NULL, &err);
 *
 * Any thread; keeps nothing between calls. */
#ifndef DARKROOM_GPU_REF_H
#define DARKROOM_GPU_REF_H

struct err;
struct network;

/* Sees each layer's output (CHW, borrowed for the call) as it is made. */
typedef void ref_observer(void *context, int layer, const float *values);

/* One picture: `input` CHW to `out`, network_out_values() of them, CHW, both borrowed. `observer`
 * may be NULL. ERR_NOMEM, and ERR_CORRUPT where a layer gives NaN or infinity (its name is in the
 * text). */
int ref_run(const struct network *network, const float *input, float *out, ref_observer *observer,
            void *context, struct err *err);

#endif
