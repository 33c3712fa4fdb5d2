/* SPDX-License-Identifier: MIT
 *
 * A worker's engine that does what a test tells it, put in the place of the real one by the
 * linker's --wrap: the worker itself has no such hooks.
 *
 *     FAULTY_DEVICE=2             the second run finds the device broken
 *     FAULTY_MEMORY=1             the first load finds no memory
 *     FAULTY_CHECK=1              the device does not pass its own check either
 *     FAULTY_LOAD=WIDTH:FOLDER    models of pictures of this width are loaded only once a file
 *                                 FOLDER/go is there; FOLDER/loading says that one waits for it
 *     FAULTY_OUTPUT=HOW[:WIDTH]   models, of pictures of this width, give something else
 *
 * HOW: "flip" one value in every second run, "other" nothing in every second run, "nan" in one
 * place, "wrong" half of the range too much, "never" comes to an end. */
#include "common/err.h"
#include "gpu/model.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_model_check_device(const struct model_options *options, struct err *err);
int __wrap_model_check_device(const struct model_options *options, struct err *err);

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

int __wrap_model_check_device(const struct model_options *options, struct err *err)
{
    if (getenv("FAULTY_CHECK"))
        return err_set(err, ERR_DEVICE, "device", "known values differ");
    return __real_model_check_device(options, err);
}

static void spoil(const struct model_info *info, int batch, float *output)
{
    static atomic_long runs;
    const char *how = getenv("FAULTY_OUTPUT");
    const char *width = how ? strchr(how, ':') : NULL;
    const size_t count = (size_t)batch * info->out_values;
    if (!how || (width && strtol(width + 1, NULL, 10) != info->size))
        return;
    const bool second = atomic_fetch_add(&runs, 1) % 2 == 1;
    if (second && !strncmp(how, "flip", 4))
        output[count / 2] = nextafterf(output[count / 2], 2);
    if (second && !strncmp(how, "other", 5))
        memset(output, 0, count * sizeof *output);
    while (!strncmp(how, "never", 5))
        pause();
    if (!strncmp(how, "nan", 3))
        output[count - 1] = NAN;
    for (size_t i = 0; i < count && !strncmp(how, "wrong", 5); i++)
        output[i] += 1;
}

int __wrap_model_run(struct model *model, int batch, const float *input, float *output,
                     struct err *err)
{
    static atomic_long runs;
    if (is_up("FAULTY_DEVICE", &runs))
        return err_set(err, ERR_DEVICE, "device", "running the network: an illegal address");
    int rc = __real_model_run(model, batch, input, output, err);
    if (rc == 0)
        spoil(model_info(model), batch, output);
    return rc;
}
