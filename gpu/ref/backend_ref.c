/* SPDX-License-Identifier: MIT */
#include "gpu/backend.h"

#include "common/err.h"
#include "common/memory.h"
#include "gpu/network.h"
#include "gpu/ref/ref.h"

#include <stdint.h>

static int check_ref(const struct network *network, const struct backend_options *options,
                     struct err *err)
{
    if (options->precision != MODEL_F32)
        return err_set(err, ERR_UNSUPPORTED, "precision", "device ref computes in f32 only");
    return 0;
}

/* The state is the network itself. */
static int open_ref(const struct network *network, const struct backend_options *options,
                    void **out_state, struct err *err)
{
    *out_state = (void *)(uintptr_t)network;
    return 0;
}

static int prepare(void *state, int batch, struct err *err)
{
    return 0;
}

static int run(void *state, int batch, const float *input, float *output, struct err *err)
{
    const struct network *network = state;
    const size_t in = layer_values(&network->layers[0]);
    const size_t out = network_out_values(network);
    int rc = 0;
    for (size_t n = 0; rc == 0 && n < (size_t)batch; n++)
        rc = ref_run(network, input + n * in, output + n * out, NULL, NULL, err);
    return rc;
}

static void close_ref(void *state)
{
}

/* Nothing but the layers' outputs, while it runs. */
static struct model_bytes estimate(const struct network *network,
                                   const struct backend_options *options, int batch)
{
    struct model_bytes bytes = {0};
    for (int i = 0; i < network->count; i++)
        bytes.host += layer_values(&network->layers[i]) * sizeof(float);
    return bytes;
}

static struct model_bytes bytes_held(const void *state)
{
    return (struct model_bytes){0};
}

static int peak(const struct backend_options *options, double *out_flops, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "device", "device ref is no measure of any machine");
}

const struct backend backend_ref = {
    .check = check_ref,
    .open = open_ref,
    .prepare = prepare,
    .run = run,
    .close = close_ref,
    .bytes = bytes_held,
    .estimate = estimate,
    .peak = peak,
    .memory = memory_of_machine,
};
