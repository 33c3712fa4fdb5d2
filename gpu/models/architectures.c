/* SPDX-License-Identifier: MIT */
#include "gpu/models/architectures.h"

#include "common/err.h"
#include "gpu/models/cartoongan.h"
#include "gpu/models/cgan.h"
#include "gpu/models/fast_srgan.h"
#include "gpu/models/fast_style_transfer.h"
#include "gpu/models/ugatit.h"
#include "gpu/tensor.h"
#include "gpu/weights/weights.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT 5
#define NAMES "ugatit, cgan, cartoongan, fast-style-transfer, fast-srgan"

static const struct architecture *const rows[COUNT] = {
    &architecture_ugatit,     &architecture_cgan,
    &architecture_cartoongan, &architecture_fast_style_transfer,
    &architecture_fast_srgan,
};

int architecture_check_first(const char *name, const struct tensor *tensor, int axis, int64_t most,
                             const char *wanted, struct err *err)
{
    char have[TENSOR_SHAPE_SIZE];
    if (tensor->rank == 4 && tensor->dim[axis] <= most)
        return 0;
    tensor_shape_text(tensor->rank, tensor->dim, have);
    return err_set(err, ERR_CORRUPT, name,
                   "tensor %s is %s, but this network needs %s with C up to %d", name, have, wanted,
                   (int)most);
}

const struct architecture *architectures_find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(rows[i]->name, name) == 0)
            return rows[i];
    return NULL;
}

const char *architectures_names(void)
{
    return NAMES;
}

/* What is below one prefix. ERR_NOT_FOUND without a text: nothing, or nobody's. */
static int recognise_below(const struct weights *weights, const char *prefix,
                           const struct architecture **out, struct architecture_found *out_found,
                           struct weights **out_part, struct err *err)
{
    struct weights *part = NULL;
    int rc = weights_view(weights, prefix, &part, NULL);
    if (rc < 0)
        return rc;
    rc = ERR_NOT_FOUND;
    for (size_t i = 0; rc == ERR_NOT_FOUND && i < COUNT; i++) {
        rc = rows[i]->recognise(part, out_found, err);
        if (rc == 0)
            *out = rows[i];
    }
    if (rc == 0)
        *out_part = part;
    else
        weights_close(&part);
    return rc;
}

static bool has_part(const struct weights *weights, const char *prefix)
{
    struct weights *part = NULL;
    bool has = weights_view(weights, prefix, &part, NULL) == 0;
    weights_close(&part);
    return has;
}

/* "genB2A" is below "genB2A." or "genB2A/". */
static int recognise_part(const struct weights *weights, const char *part,
                          const struct architecture **out, struct architecture_found *out_found,
                          struct weights **out_part, struct err *err)
{
    static const char signs[] = "./";
    char prefix[WEIGHTS_MAX_NAME_BYTES];
    for (const char *sign = signs; *sign; sign++) {
        snprintf(prefix, sizeof prefix, "%s%c", part, *sign);
        if (has_part(weights, prefix))
            return recognise_below(weights, prefix, out, out_found, out_part, err);
    }
    return err_set(err, ERR_NOT_FOUND, "part", "the weights have no part %.100s", part);
}

/* At the top, then where the architectures' own files have it. */
static int recognise_anywhere(const struct weights *weights, const struct architecture **out,
                              struct architecture_found *out_found, struct weights **out_part,
                              struct err *err)
{
    int rc = recognise_below(weights, "", out, out_found, out_part, err);
    for (size_t i = 0; i < COUNT; i++)
        for (const char *const *part = rows[i]->parts; rc == ERR_NOT_FOUND && part && *part; part++)
            rc = recognise_below(weights, *part, out, out_found, out_part, err);
    return rc;
}

int architectures_recognise(const struct weights *weights, const char *part,
                            const struct architecture **out, struct architecture_found *out_found,
                            struct weights **out_part, struct err *err)
{
    int rc = part ? recognise_part(weights, part, out, out_found, out_part, err)
                  : recognise_anywhere(weights, out, out_found, out_part, err);
    if (rc == ERR_NOT_FOUND && !(part && err && err->code))
        rc = err_set(err, ERR_UNSUPPORTED, "weights",
                     "the tensors are of no architecture that is known here (" NAMES ")");
    return rc;
}
