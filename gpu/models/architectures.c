/* SPDX-License-Identifier: MIT */
#include "gpu/models/architectures.h"

#include "common/err.h"
#include "gpu/models/cgan.h"
#include "gpu/models/ugatit.h"

#include <stddef.h>
#include <string.h>

#define COUNT 2
#define NAMES "ugatit, cgan"

static const struct architecture *const rows[COUNT] = {&architecture_ugatit, &architecture_cgan};

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
