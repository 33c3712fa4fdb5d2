/* SPDX-License-Identifier: MIT
 *
 * The oracle against PyTorch, layer by layer. */
#include "common/err.h"
#include "gpu/ref/ref.h"
#include "tests/models/parity.h"
#include "tests/unit/check.h"

struct comparison {
    const struct parity *p;
    double worst;
    int worst_layer, layers;
};

static void compare(void *context, int layer, const float *values)
{
    struct comparison *c = context;
    float *want = parity_layer(c->p, layer);
    double d = parity_distance(values, want, layer_values(&c->p->network.layers[layer]));
    free(want);
    c->layers++;
    if (!(d <= c->worst)) {
        c->worst = d;
        c->worst_layer = layer;
    }
}

static void agrees(const struct parity_case *c)
{
    struct parity p;
    struct comparison comparison = {.p = &p};
    struct err err = {0};
    if (!parity_init(&p, c))
        check_skip("python3-torch is not installed");
    const size_t values = layer_values(&p.network.layers[p.network.count - 1]);
    const size_t side = (size_t)c->size / 4;
    struct tensor heat_map = {0};
    p.network.heat_map = true;
    CHECK_INT(network_out_values(&p.network), values + side * side);
    float *out = malloc((values + side * side) * sizeof *out);
    float *want = malloc(side * side * sizeof *want);
    int rc = ref_run(&p.network, p.input, out, compare, &comparison, &err);
    CHECK_INT(weights_find(p.golden, "heat_map", &heat_map), 0);
    tensor_to_f32(&heat_map, want);
    double heat_distance = parity_distance(out + values, want, side * side);
    free(want);
    printf("# %s: worst layer %d (%s) %.2g\n", c->name, comparison.worst_layer,
           p.network.layers[comparison.worst_layer].name, comparison.worst);
    int layers = p.network.count;
    free(out);
    parity_fini(&p);
    CHECK_INT(rc, 0);
    CHECK_INT(comparison.layers, layers);
    CHECK(comparison.worst < 2e-6);
    CHECK(heat_distance < 2e-6);
}

static void every_light_layer_equals_pytorch(void)
{
    agrees(&(struct parity_case){"light", .channels = 6, .blocks = 4, .size = 64, .type = "F32"});
}

static void odd_quarters_and_half_precision_equal_pytorch(void)
{
    agrees(
        &(struct parity_case){"light 20", .channels = 4, .blocks = 2, .size = 20, .type = "F16"});
}

static void every_full_layer_equals_pytorch(void)
{
    agrees(&(struct parity_case){"full", .channels = 4, .blocks = 1, .size = 36, .full = true,
                                 .type = "BF16"});
}

int main(void)
{
    RUN(every_light_layer_equals_pytorch);
    RUN(odd_quarters_and_half_precision_equal_pytorch);
    RUN(every_full_layer_equals_pytorch);
    return check_report();
}
