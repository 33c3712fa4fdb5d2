/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a weights file: what opens can be read to its last byte, and whatever is taken for
 * one of our architectures can be laid out as a network without an inconsistency of ours. */
#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include "tests/fuzz/weights_target.h"

#include <string.h>

static void try_network(const struct weights *weights)
{
    static struct network network; /* large */
    const struct architecture *architecture;
    struct architecture_found found;
    struct weights *part = NULL, *view = NULL;
    struct err err = {0};
    int rc = architectures_recognise(weights, NULL, &architecture, &found, &part, &err);
    if (rc == 0 && architecture->view)
        rc = architecture->view(part, &found, &view, &err);
    memset(&network, 0, sizeof network);
    if (rc == 0)
        rc = architecture->build(view ? view : part, &found, found.size ? found.size : 32, &network,
                                 &err);
    weights_close(&view);
    weights_close(&part);
    fuzz_check(rc != ERR_INTERNAL && (rc == 0 || err.text[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weights *weights = NULL;
    struct err err = {0};
    if (weights_open_memory(data, size, &weights, &err) < 0) {
        fuzz_check(!weights && err.text[0]);
        return 0;
    }
    fuzz_read_weights(weights);
    try_network(weights);
    weights_close(&weights);
    return 0;
}
