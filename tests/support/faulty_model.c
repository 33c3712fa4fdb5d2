/* SPDX-License-Identifier: MIT
 *
 * A worker's engine that does what a test tells it, put in the place of the real one by the
 * linker's --wrap: the worker itself has no such hooks.
 *
 *     FAULTY_DEVICE=2             the second run finds the device broken
 *     FAULTY_MEMORY=1             the first load finds no memory
 *     FAULTY_LOAD=WIDTH:FOLDER    models of pictures of this width are loaded only once a file
 *                                 FOLDER/go is there; FOLDER/loading says that one waits for it */
#include "common/err.h"
#include "gpu/model.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int __real_model_prepare(struct model *model, int batch, struct err *err);
int __wrap_model_prepare(struct model *model, int batch, struct err *err);
int __real_model_run(struct model *model, int batch, const float *input, float *output,
                     struct err *err);
int __wrap_model_run(struct model *model, int batch, const float *input, float *output,
                     struct err *err);

/* True when a number in the environment has been counted down. */
static bool is_up(const char *name, atomic_long *count)
{
    const char *text = getenv(name);
    return text && atomic_fetch_add(count, 1) + 1 == strtol(text, NULL, 10);
}

static void wait_for_go(const struct model *model)
{
    const char *text = getenv("FAULTY_LOAD");
    char path[4096], *folder = NULL;
    long width = text ? strtol(text, &folder, 10) : 0;
    if (!text || width != model_info(model)->size || *folder != ':')
        return;
    snprintf(path, sizeof path, "%s/loading", folder + 1);
    FILE *file = fopen(path, "we");
    if (file)
        fclose(file);
    snprintf(path, sizeof path, "%s/go", folder + 1);
    while (access(path, F_OK) < 0)
        usleep(5000);
}

int __wrap_model_prepare(struct model *model, int batch, struct err *err)
{
    static atomic_long loads;
    wait_for_go(model);
    if (is_up("FAULTY_MEMORY", &loads))
        return err_set(err, ERR_NOMEM, "device", "no memory on the GPU for tensors");
    return __real_model_prepare(model, batch, err);
}

int __wrap_model_run(struct model *model, int batch, const float *input, float *output,
                     struct err *err)
{
    static atomic_long runs;
    if (is_up("FAULTY_DEVICE", &runs))
        return err_set(err, ERR_DEVICE, "device", "running the network: an illegal address");
    return __real_model_run(model, batch, input, output, err);
}
