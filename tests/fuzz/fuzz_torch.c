/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a file of torch.save: the zip file and the stream before it. */
#include "tests/fuzz/weights_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_open_weights(data, size);
    return 0;
}
