/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a pickle of StyleGAN2-ADA's, with streams of torch.save inside. */
#include "tests/fuzz/weights_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_open_weights(data, size);
    return 0;
}
