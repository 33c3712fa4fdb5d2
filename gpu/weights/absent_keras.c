/* SPDX-License-Identifier: MIT
 *
 * In the place of keras.c where libhdf5 is not installed. */
#include "gpu/weights/table.h"

#include "common/err.h"

#include <string.h>

static bool matches(const struct weights_source *source)
{
    return source->size >= 8 && memcmp(source->data, "\x89HDF\r\n\x1a\n", 8) == 0;
}

static int read_file(const struct weights_source *source, struct table *table, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "weights",
                   "a Keras file: this program was built without libhdf5, which reads them");
}

const struct weights_reader weights_reader_keras = {"keras-h5", matches, read_file};
