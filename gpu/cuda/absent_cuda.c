/* SPDX-License-Identifier: MIT */
#include "gpu/backend.h"

#include "common/err.h"

static int check_absent(const struct network *network, const struct backend_options *options,
                        struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "device", "this build has no GPU backend (CUDA)");
}

const struct backend backend_cuda = {.check = check_absent};
