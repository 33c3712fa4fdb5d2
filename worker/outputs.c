/* SPDX-License-Identifier: MIT */
#include "worker/outputs.h"

#include "common/err.h"

#include <stdlib.h>

int outputs_take(struct outputs_spare *home, size_t values, struct outputs **out_outputs)
{
    struct outputs *outputs = atomic_exchange(&home->block, NULL);
    if (outputs && outputs->capacity < values) {
        free(outputs);
        outputs = NULL;
    }
    if (!outputs) {
        outputs = malloc(sizeof *outputs + values * sizeof outputs->values[0]);
        if (!outputs)
            return ERR_NOMEM;
        outputs->home = home;
        outputs->capacity = values;
    }
    atomic_store(&outputs->users, 1);
    *out_outputs = outputs;
    return 0;
}

struct outputs *outputs_share(struct outputs *outputs)
{
    atomic_fetch_add(&outputs->users, 1);
    return outputs;
}

void outputs_leave(struct outputs **outputs)
{
    struct outputs *left = *outputs;
    *outputs = NULL;
    if (left && atomic_fetch_sub(&left->users, 1) == 1)
        free(atomic_exchange(&left->home->block, left));
}

void outputs_spare_fini(struct outputs_spare *spare)
{
    free(atomic_exchange(&spare->block, NULL));
}
