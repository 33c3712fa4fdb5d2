/* SPDX-License-Identifier: MIT
 *
 * NVIDIA GPUs from compute capability 7.5 on, with kernels of our own. The network becomes steps
 * (steps.h), each a launch; its weights go to the device once (upload.h); batches run through two
 * lanes of pinned memory as graphs (lanes.h). */
#include "gpu/backend.h"

#include "common/err.h"
#include "gpu/cuda/device.h"
#include "gpu/cuda/lanes.h"
#include "gpu/cuda/peak.h"
#include "gpu/cuda/state.h"
#include "gpu/cuda/upload.h"

#include <stdlib.h>

static const enum kernel_type types[] = {
    [MODEL_F32] = KERNEL_F32, [MODEL_F16] = KERNEL_F16, [MODEL_BF16] = KERNEL_BF16};

static void close_cuda(void *state)
{
    struct cuda_state *s = state;
    if (!s)
        return;
    device_use(NULL);
    lanes_close(&s->lanes);
    cudaFree(s->weights);
    free(s);
}

static int check_cuda(const struct network *network, const struct backend_options *options,
                      struct err *err)
{
    int arch = 0;
    int rc = device_check(types[options->precision], &arch, err);
    struct steps *steps = rc == 0 ? malloc(sizeof *steps) : NULL;
    if (rc == 0)
        rc = steps ? steps_lower(network, types[options->precision], arch, steps, err) : ERR_NOMEM;
    free(steps);
    return rc;
}

static int open_cuda(const struct network *network, const struct backend_options *options,
                     void **out_state, struct err *err)
{
    const enum kernel_type type = types[options->precision];
    int arch = 0;
    struct cuda_state *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    int rc = device_check(type, &arch, err);
    if (rc == 0)
        rc = device_use(err);
    if (rc == 0)
        rc = steps_lower(network, type, arch, &s->steps, err);
    if (rc == 0 && s->steps.weight_bytes > 0)
        rc = device_allocate((void **)&s->weights, s->steps.weight_bytes, "weights", err);
    if (rc == 0)
        rc = lanes_open(&s->lanes, &s->steps, s->weights, err);
    if (rc == 0)
        rc = upload_weights(&s->steps, s->weights, s->lanes.inward, err);
    if (rc < 0)
        close_cuda(s);
    else
        *out_state = s;
    return rc;
}

static int prepare(void *state, int batch, struct err *err)
{
    struct cuda_state *s = state;
    int rc = device_use(err);
    return rc < 0 ? rc : lanes_prepare(&s->lanes, batch, err);
}

static int run(void *state, int batch, const float *input, float *output, struct err *err)
{
    struct cuda_state *s = state;
    int rc = device_use(err);
    return rc < 0 ? rc : lanes_run(&s->lanes, batch, input, output, err);
}

static struct model_bytes bytes_held(const void *state)
{
    const struct cuda_state *s = state;
    struct model_bytes bytes = lanes_bytes(&s->steps, s->lanes.capacity);
    bytes.host += sizeof *s;
    bytes.device += s->steps.weight_bytes;
    return bytes;
}

static struct model_bytes estimate(const struct network *network,
                                   const struct backend_options *options, int batch)
{
    const enum kernel_type type = types[options->precision];
    struct model_bytes bytes = {.host = sizeof(struct cuda_state)};
    int arch = 0;
    struct steps *steps = malloc(sizeof *steps);
    if (steps && device_check(type, &arch, NULL) == 0 &&
        steps_lower(network, type, arch, steps, NULL) == 0) {
        const struct model_bytes lanes = lanes_bytes(steps, batch);
        bytes.host += lanes.host;
        bytes.device += lanes.device + steps->weight_bytes;
    }
    free(steps);
    return bytes;
}

static int peak(const struct backend_options *options, double *out_flops, struct err *err)
{
    int arch = 0;
    int rc = device_check(types[options->precision], &arch, err);
    if (rc == 0)
        rc = device_use(err);
    return rc < 0 ? rc : peak_measure(types[options->precision], arch, out_flops, err);
}

static int memory(uint64_t *out_total, uint64_t *out_free, struct err *err)
{
    size_t total = 0, unused = 0;
    int arch = 0;
    int rc = device_check(KERNEL_F32, &arch, err);
    if (rc == 0)
        rc = device_use(err);
    if (rc == 0)
        rc = device_failed(cudaMemGetInfo(&unused, &total), "asking the GPU for its memory", err);
    if (rc == 0) {
        *out_total = total;
        *out_free = unused;
    }
    return rc;
}

const struct backend backend_cuda = {
    .check = check_cuda,
    .open = open_cuda,
    .prepare = prepare,
    .run = run,
    .close = close_cuda,
    .bytes = bytes_held,
    .estimate = estimate,
    .peak = peak,
    .memory = memory,
};
