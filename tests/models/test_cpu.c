/* SPDX-License-Identifier: MIT
 *
 * The CPU backend against the oracle: the network cut off after each of its layers, and whole. */
#include "common/err.h"
#include "gpu/backend.h"
#include "gpu/ref/ref.h"
#include "tests/models/parity.h"
#include "tests/unit/check.h"

#include <math.h>

/* What the issue allows; f32 with Winograd stays far below it. */
#define LIMIT 1e-3

static void keep(void *context, int layer, const float *values)
{
    const struct parity *p = ((void **)context)[0];
    float **all = ((void **)context)[1];
    size_t bytes = layer_values(&p->network.layers[layer]) * sizeof *values;
    all[layer] = malloc(bytes);
    memcpy(all[layer], values, bytes);
}

static int run_cut_off(struct parity *p, int layers, float *out)
{
    static struct network cut;
    struct backend_options options = {.precision = MODEL_F32, .threads = 2};
    struct err err = {0};
    void *state = NULL;
    cut = p->network;
    cut.count = layers;
    int rc = backend_cpu.open(&cut, &options, &state, &err);
    if (rc == 0)
        rc = backend_cpu.run(state, 1, p->input, out, &err);
    if (rc < 0)
        printf("# %d layers: %s\n", layers, err.text);
    if (state)
        backend_cpu.close(state);
    return rc;
}

static void agrees(const struct parity_case *c)
{
    struct parity p;
    float *all[NETWORK_MAX_LAYERS] = {0};
    void *context[2] = {&p, all};
    struct err err = {0};
    double worst = 0;
    int worst_layer = 0, failures = 0;
    parity_init(&p, c);
    int layers = p.network.count;
    float *out = malloc(layer_values(&p.network.layers[layers - 1]) * sizeof *out);
    int rc = ref_run(&p.network, p.input, out, keep, context, &err);
    free(out);
    for (int i = 1; rc == 0 && i < layers; i++) {
        const struct layer *l = &p.network.layers[i];
        if (l->kind == LAYER_CAM) /* folded into the next layer */
            continue;
        out = malloc(layer_values(l) * sizeof *out);
        failures += run_cut_off(&p, i + 1, out) < 0;
        double d = parity_distance(out, all[i], layer_values(l));
        if (!(d <= worst)) {
            worst = d;
            worst_layer = i;
        }
        if (!(d <= LIMIT))
            printf("# layer %d %s (%s): %g\n", i, l->name, layer_kind_name(l->kind), d);
        free(out);
    }
    printf("# %s: worst layer %d (%s) %.2g\n", c->name, worst_layer,
           p.network.layers[worst_layer].name, worst);
    for (int i = 0; i < layers; i++)
        free(all[i]);
    parity_fini(&p);
    CHECK_INT(rc, 0);
    CHECK_INT(failures, 0);
    CHECK(worst <= LIMIT);
}

static void every_light_layer_equals_the_oracle(void)
{
    agrees(&(struct parity_case){"light 8", .channels = 8, .blocks = 2, .size = 64, .type = "F32"});
}

static void sizes_that_fill_no_vector_equal_the_oracle(void)
{
    agrees(&(struct parity_case){"light 5", .channels = 5, .blocks = 1, .size = 20, .type = "F16"});
}

static void every_full_layer_equals_the_oracle(void)
{
    agrees(&(struct parity_case){"full 4", .channels = 4, .blocks = 1, .size = 36, .full = true,
                                 .type = "BF16"});
}

static void layers_wide_enough_for_winograd_equal_the_oracle(void)
{
    agrees(
        &(struct parity_case){"light 32", .channels = 32, .blocks = 1, .size = 28, .type = "F32"});
}

int main(void)
{
    RUN(every_light_layer_equals_the_oracle);
    RUN(sizes_that_fill_no_vector_equal_the_oracle);
    RUN(every_full_layer_equals_the_oracle);
    RUN(layers_wide_enough_for_winograd_equal_the_oracle);
    return check_report();
}
