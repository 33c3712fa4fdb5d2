/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a picture that says where it comes from, or as a bare packet: what was read can be
 * written, and then reads as the same. */
#include "common/buf.h"
#include "common/err.h"
#include "common/picture_metadata.h"

#include "tests/fuzz/target.h"

#include <string.h>

static void check_round_trip(const struct picture_metadata *first)
{
    struct picture_metadata again = {0};
    struct buf xmp;
    buf_init(&xmp, 2 * PICTURE_XMP_MAX);
    /* A packet may hold more, in fewer bytes, than one of ours can. */
    if (picture_metadata_format_xmp(first, &xmp, NULL) == 0) {
        fuzz_check(picture_metadata_parse_xmp(xmp.data, xmp.size, &again, NULL) == 0);
        fuzz_check(!strcmp(first->model, again.model) && first->seed == again.seed &&
                   first->has_seed == again.has_seed && first->source == again.source &&
                   first->created_ms == again.created_ms &&
                   !strcmp(first->weights_sha256, again.weights_sha256) &&
                   !strcmp(first->params ? first->params : "", again.params ? again.params : ""));
    }
    picture_metadata_fini(&again);
    buf_fini(&xmp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct picture_metadata metadata = {0};
    struct err err = {0};
    int rc = picture_metadata_read(data, size, &metadata, &err);
    if (rc == 0)
        check_round_trip(&metadata);
    else
        fuzz_check(metadata.params == NULL && err.text[0]);
    picture_metadata_fini(&metadata);
    if (picture_metadata_parse_xmp(data, size, &metadata, NULL) == 0)
        check_round_trip(&metadata);
    picture_metadata_fini(&metadata);
    return 0;
}
