/* SPDX-License-Identifier: MIT */
#include "worker/npy.h"

#include "common/buf.h"
#include "common/err.h"

#include <assert.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the header says '<f4'");

/* Magic, version and the length of the rest: 10 bytes. The whole header is padded with spaces to
 * a multiple of 64, so that the data can be mapped aligned. */
#define PREFIX_BYTES 10
#define ALIGN_BYTES 64

static int put_header(struct buf *out, const size_t *shape, size_t dimensions)
{
    struct buf text;
    buf_init(&text, 512);
    int rc = buf_append_text(&text, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (size_t i = 0; i < dimensions && rc == 0; i++)
        rc = buf_printf(&text, "%s%zu%s", i ? " " : "", shape[i],
                        i + 1 < dimensions || dimensions == 1 ? "," : "");
    if (rc == 0)
        rc = buf_append_text(&text, "), }");
    while (rc == 0 && (PREFIX_BYTES + text.size + 1) % ALIGN_BYTES)
        rc = buf_append(&text, " ", 1);
    if (rc == 0)
        rc = buf_append(&text, "\n", 1);
    const unsigned char prefix[PREFIX_BYTES] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, text.size & 0xff, (unsigned char)(text.size >> 8)};
    if (rc == 0)
        rc = buf_append(out, prefix, sizeof prefix);
    if (rc == 0)
        rc = buf_append(out, text.data, text.size);
    buf_fini(&text);
    return rc;
}

int npy_append_f32(struct buf *out, const size_t *shape, size_t dimensions, const float *data,
                   struct err *err)
{
    if (dimensions > NPY_MAX_DIMENSIONS)
        return err_set(err, ERR_LIMIT, "raw", "an array of %zu dimensions, %d are allowed",
                       dimensions, NPY_MAX_DIMENSIONS);
    size_t count = 1;
    for (size_t i = 0; i < dimensions; i++)
        count *= shape[i];
    int rc = put_header(out, shape, dimensions);
    if (rc == 0)
        rc = buf_append(out, data, count * sizeof *data);
    return rc < 0 ? err_set(err, rc, "raw", "the array doesn't fit in %zu bytes", out->max_size)
                  : 0;
}
