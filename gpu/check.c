/* SPDX-License-Identifier: MIT */
#include "gpu/check.h"

#include "common/err.h"
#include "gpu/backend.h"
#include "gpu/network.h"
#include "gpu/ref/ref.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define SIDE 32
#define PLANES 3
#define CHANNELS 32
#define KERNEL 3
#define EPSILON 1e-5f

/* Of values that tanh keeps within 1; halves of a float lose more on the way. */
#define LIMIT_F32 2e-3
#define LIMIT_HALF 0.1

struct check {
    struct network network;
    float *values; /* owned: all the network's weights, the input, what is wanted and what came */
    float *next;   /* of `values`: not given out yet */
    uint32_t random;
};

/* Of mean 0 and variance 1, near enough, the same everywhere. */
static float draw(struct check *check)
{
    check->random = check->random * 1664525 + 1013904223;
    return ((float)(check->random >> 8) / 8388608.0f - 1.0f) * 1.7320508f;
}

static float *take(struct check *check, size_t count, float factor)
{
    float *values = check->next;
    check->next += count;
    for (size_t i = 0; i < count; i++)
        values[i] = draw(check) * factor;
    return values;
}

static int conv(struct check *check, struct network_builder *b, int input, int64_t channels,
                int stride)
{
    const int64_t from = input < 0 ? 1 : check->network.layers[input].c;
    const int64_t dim[] = {channels, from, KERNEL, KERNEL};
    const size_t fan = (size_t)from * KERNEL * KERNEL;
    int x = network_conv(b, "check", input,
                         (struct network_conv){.channels = channels,
                                               .kernel = KERNEL,
                                               .stride = stride,
                                               .pad = 1,
                                               .zeros = stride == 2});
    if (x < 0)
        return x;
    struct tensor *weight = &check->network.layers[x].weight;
    *weight = (struct tensor){.type = TENSOR_F32, .rank = 4};
    for (int i = 0; i < 4; i++)
        weight->dim[i] = dim[i];
    weight->data = take(check, (size_t)channels * fan, 1 / sqrtf((float)fan));
    return x;
}

static int build(struct check *check, struct err *err)
{
    struct network_builder b = {.network = &check->network, .err = err};
    int x = conv(check, &b, network_input(&b, PLANES, SIDE, SIDE), CHANNELS, 1);
    const int first = network_relu(&b, network_instance_norm(&b, x, EPSILON));
    x = network_instance_norm(&b, conv(check, &b, first, CHANNELS, 1), EPSILON);
    x = conv(check, &b, network_add(&b, x, first), CHANNELS, 2);
    x = network_relu(&b, network_instance_norm(&b, x, EPSILON));
    network_tanh(&b, conv(check, &b, x, PLANES, 1));
    return b.rc;
}

static int compare(const float *wanted, const float *got, size_t count, double limit,
                   struct err *err)
{
    size_t worst = 0;
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        double off = fabs((double)got[i] - (double)wanted[i]);
        if (!(off <= most)) { /* NaN is the worst */
            most = off;
            worst = i;
        }
        if (isnan(off))
            break;
    }
    if (most <= limit)
        return 0;
    return err_set(err, ERR_DEVICE, "device",
                   "a network of known values gives %g instead of %g at value %zu",
                   (double)got[worst], (double)wanted[worst], worst);
}

static int run(const struct backend *backend, const struct backend_options *options,
               struct check *check, const float *input, float *output, struct err *err)
{
    void *state = NULL;
    int rc = backend->check(&check->network, options, err);
    if (rc == 0)
        rc = backend->open(&check->network, options, &state, err);
    if (rc < 0)
        return rc;
    rc = backend->prepare(state, 1, err);
    if (rc == 0)
        rc = backend->run(state, 1, input, output, err);
    backend->close(state);
    return rc;
}

int check_device(const struct backend *backend, const struct backend_options *options,
                 struct err *err)
{
    const size_t in = PLANES * SIDE * SIDE, out = in / 4;
    const size_t weights = 2 * CHANNELS * (CHANNELS + PLANES) * KERNEL * KERNEL;
    struct check *check = calloc(1, sizeof *check);
    int rc = check && (check->values = malloc((weights + in + 2 * out) * sizeof *check->values))
                 ? 0
                 : err_set(err, ERR_NOMEM, NULL, "no memory to check the device with");
    if (rc == 0) {
        check->next = check->values;
        rc = build(check, err);
    }
    if (rc == 0) {
        assert(network_out_values(&check->network) == out);
        const float *input = take(check, in, 1);
        float *wanted = check->next, *got = wanted + out;
        rc = ref_run(&check->network, input, wanted, NULL, NULL, err);
        if (rc == 0)
            rc = run(backend, options, check, input, got, err);
        if (rc == 0)
            rc = compare(wanted, got, out, options->precision == MODEL_F32 ? LIMIT_F32 : LIMIT_HALF,
                         err);
    }
    if (check)
        free(check->values);
    free(check);
    /* Not a number, where there can be none. */
    return rc == ERR_CORRUPT ? ERR_DEVICE : rc;
}
