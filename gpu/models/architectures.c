/* SPDX-License-Identifier: MIT */
#include "gpu/models/architectures.h"

#include "common/err.h"
#include "gpu/models/cartoongan.h"
#include "gpu/models/cgan.h"
#include "gpu/models/fast_srgan.h"
#include "gpu/models/fast_style_transfer.h"
#include "gpu/models/ugatit.h"
#include "gpu/tensor.h"

#include <stddef.h>
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

int architectures_recognise(const struct weights *weights, const struct architecture **out,
                            struct architecture_found *out_found, struct err *err)
{
    for (size_t i = 0; i < COUNT; i++) {
        int rc = rows[i]->recognise(weights, out_found, err);
        if (rc == 0)
            *out = rows[i];
        if (rc != ERR_NOT_FOUND)
            return rc;
    }
    return err_set(err, ERR_UNSUPPORTED, "weights",
                   "the tensors are of no architecture that is known here (" NAMES ")");
}
