/* SPDX-License-Identifier: MIT */
#include "tests/models/parity.h"

#include "common/err.h"
#include "tests/models/command.h"

#include <math.h>
#include <unistd.h>

static void die(const char *what, const struct err *err)
{
    printf("Bail out! %s: %s\n", what, err ? err->text : "");
    exit(EXIT_FAILURE);
}

static void open_file(const struct parity *p, const char *name, struct weights **out)
{
    char path[128];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", p->directory, name);
    if (weights_open(path, out, &err) < 0)
        die(path, &err);
}

bool parity_init(struct parity *p, const struct parity_case *c)
{
    const char *tests = command_tests(), *python = command_torch();
    struct err err = {0};
    struct tensor tensor;
    *p = (struct parity){.c = *c, .directory = "/tmp/darkroom-parity-XXXXXX"};
    if (!mkdtemp(p->directory))
        die("mkdtemp", NULL);
    char full[32] = "";
    if (c->full)
        snprintf(full, sizeof full, "--full %d", c->size);
    if (command_run("python3 %s/support/random_ugatit.py %s/weights --channels %d --blocks %d "
                    "--type %s %s",
                    tests, p->directory, c->channels, c->blocks, c->type, full) != 0)
        die("random_ugatit.py failed", NULL);
    open_file(p, "weights", &p->weights);
    if (ugatit_recognise(p->weights, &p->shape, &err) < 0 ||
        ugatit_build(p->weights, &p->shape, c->size, &p->network, &err) < 0)
        die("building the network", &err);

    size_t values = layer_values(&p->network.layers[0]);
    p->input = malloc(values * sizeof *p->input);
    int status = COMMAND_SKIPPED;
    if (!c->alone)
        status = command_run("%s %s/models/reference_ugatit.py %s/weights %s/golden --size %d",
                             python, tests, p->directory, p->directory, c->size);
    if (status == 0) {
        open_file(p, "golden", &p->golden);
        if (weights_find(p->golden, "input", &tensor) < 0)
            die("no input", NULL);
        tensor_to_f32(&tensor, p->input);
        return true;
    }
    if (status != COMMAND_SKIPPED)
        die("reference_ugatit.py failed", NULL);
    for (size_t i = 0; i < values; i++)
        p->input[i] = (float)((i * 2654435761u >> 8) % 2001) / 1000.0f - 1.0f;
    return false;
}

void parity_fini(struct parity *p)
{
    char path[128];
    free(p->input);
    weights_close(&p->weights);
    weights_close(&p->golden);
    snprintf(path, sizeof path, "%s/weights", p->directory);
    unlink(path);
    snprintf(path, sizeof path, "%s/golden", p->directory);
    unlink(path);
    rmdir(p->directory);
}

float *parity_layer(const struct parity *p, int i)
{
    char name[32];
    struct tensor tensor;
    snprintf(name, sizeof name, "layer%03d", i);
    if (weights_find(p->golden, name, &tensor) < 0 ||
        (size_t)tensor_count(&tensor) != layer_values(&p->network.layers[i]))
        die(name, NULL);
    float *values = malloc(tensor_bytes(&tensor));
    tensor_to_f32(&tensor, values);
    return values;
}

double parity_distance(const float *a, const float *b, size_t count)
{
    double scale = 1, distance = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= distance)) /* NaN counts as far */
            distance = d;
        if (fabs((double)b[i]) > scale)
            scale = fabs((double)b[i]);
    }
    return distance / scale;
}
