/* SPDX-License-Identifier: MIT
 *
 * bf16 on the CPU against the oracle: the network cut off after each of its layers, and whole,
 * with every block kernel that runs here and with AMX's on tiles computed in C. */
#include "common/err.h"
#include "gpu/backend.h"
#include "gpu/cpu/tiles/tiles.h"
#include "gpu/model.h"
#include "gpu/ref/ref.h"
#include "tests/models/parity.h"
#include "tests/unit/check.h"

#include <math.h>

/* What the issue allows of a network with random weights. */
#define LIMIT_DB 40

extern const struct tile_functions tiles_amx_emulated;

static const struct tile_functions *chosen;

/* Instead of the library's own: bf16 networks compute with what the test says. */
const struct tile_functions *tiles_functions(void)
{
    return chosen;
}

static int kernels(const struct tile_functions *out[TILES_MAX_FUNCTIONS + 1])
{
    int count = tiles_available(out);
    out[count++] = &tiles_amx_emulated;
    return count;
}

static void keep(void *context, int layer, const float *values)
{
    const struct parity *p = ((void **)context)[0];
    float **all = ((void **)context)[1];
    size_t bytes = layer_values(&p->network.layers[layer]) * sizeof *values;
    all[layer] = malloc(bytes);
    memcpy(all[layer], values, bytes);
}

/* Decibels of the noise below the values' range; NaN is all noise. */
static double psnr(const float *got, const float *want, size_t count)
{
    double least = INFINITY, most = -INFINITY, noise = 0;
    for (size_t i = 0; i < count; i++) {
        const double x = (double)want[i], d = (double)got[i] - x;
        least = fmin(least, x);
        most = fmax(most, x);
        noise += d * d / (double)count;
    }
    if (!(noise < 1e30))
        return -INFINITY;
    return 10 * log10((most - least) * (most - least) / fmax(noise, 1e-20));
}

static int run_cut_off(const struct parity *p, int layers, float *out)
{
    static struct network cut;
    struct backend_options options = {.precision = MODEL_BF16, .threads = 1};
    struct err err = {0};
    void *state = NULL;
    cut = p->network;
    cut.count = layers;
    int rc = backend_cpu.check(&cut, &options, &err);
    if (rc == 0)
        rc = backend_cpu.open(&cut, &options, &state, &err);
    if (rc == 0)
        rc = backend_cpu.run(state, 1, p->input, out, &err);
    if (rc < 0)
        printf("# %d layers: %s\n", layers, err.text);
    if (state)
        backend_cpu.close(state);
    return rc;
}

/* The least of all layers' (or, quickly, of the last one's) decibels; below 0 after an error. */
static double least_psnr(const struct parity *p, float *const *all, bool quickly)
{
    const int layers = p->network.count;
    double least = INFINITY, db = 0;
    int at = 0;
    for (int i = quickly ? layers - 1 : 1; i < layers; i++) {
        const struct layer *l = &p->network.layers[i];
        if (l->kind == LAYER_CAM) /* folded into the next layer */
            continue;
        float *out = malloc(layer_values(l) * sizeof *out);
        db = run_cut_off(p, i + 1, out) < 0 ? -1 : psnr(out, all[i], layer_values(l));
        free(out);
        if (db < least) {
            least = db;
            at = i;
        }
    }
    printf("# %s, %s: worst layer %d (%s) %.1f dB, output %.1f dB\n", p->c.name, chosen->name, at,
           p->network.layers[at].name, least, db);
    return least;
}

static void agrees(const struct parity_case *c)
{
    const struct tile_functions *all_kernels[TILES_MAX_FUNCTIONS + 1];
    struct parity p;
    float *all[NETWORK_MAX_LAYERS] = {0};
    void *context[2] = {&p, all};
    struct err err = {0};
    double least = INFINITY;
    const int count = kernels(all_kernels);
    parity_init(&p, c);
    const int layers = p.network.count;
    float *out = malloc(layer_values(&p.network.layers[layers - 1]) * sizeof *out);
    int rc = ref_run(&p.network, p.input, out, keep, context, &err);
    free(out);
    /* Layer by layer with the one that is used here and the one that cannot be. */
    for (int k = 0; rc == 0 && k < count; k++) {
        chosen = all_kernels[k];
        least = fmin(least, least_psnr(&p, all, layers > 50 || k < count - 2));
    }
    for (int i = 0; i < layers; i++)
        free(all[i]);
    parity_fini(&p);
    CHECK_INT(rc, 0);
    CHECK(least >= LIMIT_DB);
}

static void every_light_layer_is_near_the_oracle(void)
{
    agrees(&(struct parity_case){"light 8", .channels = 8, .blocks = 2, .size = 64, .type = "F32",
                                 .alone = true});
}

static void sizes_that_fill_no_tile_are_near_the_oracle(void)
{
    agrees(&(struct parity_case){"light 5", .channels = 5, .blocks = 1, .size = 20, .type = "F16",
                                 .alone = true});
}

static void every_full_layer_is_near_the_oracle(void)
{
    agrees(&(struct parity_case){"full 4", .channels = 4, .blocks = 1, .size = 36, .full = true,
                                 .type = "BF16", .alone = true});
}

int main(void)
{
    RUN(every_light_layer_is_near_the_oracle);
    RUN(sizes_that_fill_no_tile_are_near_the_oracle);
    RUN(every_full_layer_is_near_the_oracle);
    return check_report();
}
