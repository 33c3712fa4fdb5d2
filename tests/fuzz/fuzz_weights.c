/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a weights file: what opens can be read to its last byte, and whatever is taken for
 * a U-GAT-IT generator can be laid out as a network without an inconsistency of ours. */
#include "common/err.h"
#include "gpu/models/ugatit.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include "tests/fuzz/weights_target.h"

#include <string.h>

static void try_network(const struct weights *weights)
{
    static struct network network; /* large */
    struct ugatit_shape shape;
    struct err err = {0};
    if (ugatit_recognise(weights, &shape, NULL) < 0)
        return;
    memset(&network, 0, sizeof network);
    int rc = ugatit_build(weights, &shape, shape.size ? shape.size : 32, &network, &err);
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
