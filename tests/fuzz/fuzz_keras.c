/* SPDX-License-Identifier: MIT
 *
 * Any bytes as Keras' HDF5 file. What is called hang-* keeps libhdf5 1.10 busy without end. */
#include "tests/fuzz/weights_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_open_weights(data, size);
    return 0;
}
