/* SPDX-License-Identifier: MIT */
#include "common/provenance.h"

#include "common/err.h"
#include "common/picture_metadata.h"

#include <string.h>

static int check_weights(const struct picture_metadata *metadata, const char *served,
                         struct err *err)
{
    if (!served || !metadata->weights_sha256[0])
        return err_set(err, ERR_INVALID, "input",
                       "it is not known whether %s still has the weights that made the picture",
                       metadata->model);
    if (strcmp(served, metadata->weights_sha256))
        return err_set(err, ERR_INVALID, "input",
                       "%s has other weights now (%.12s…) than those that made the picture "
                       "(%.12s…)",
                       metadata->model, served, metadata->weights_sha256);
    return 0;
}

int provenance_again(const struct picture_metadata *metadata, const json_t *model,
                     json_t **out_params, struct err *err)
{
    static const struct json_limits limits = {.max_bytes = PICTURE_PARAMS_MAX, .max_depth = 8};
    const char *name = json_string_value(json_object_get(model, "name"));
    const json_t *input = json_object_get(model, "input");
    const char *kind = json_string_value(json_object_get(input, "kind"));
    if (!metadata->model[0])
        return err_set(err, ERR_INVALID, "input", "the picture does not say which model made it");
    if (!name || strcmp(name, metadata->model))
        return err_set(err, ERR_INVALID, "input", "the picture was made by %s, which is not here",
                       metadata->model);
    if (!kind || strcmp(kind, "none"))
        return err_set(err, ERR_INVALID, "input",
                       "%s makes its pictures of another one, which is not in the file",
                       metadata->model);
    int rc =
        check_weights(metadata, json_string_value(json_object_get(model, "weights_sha256")), err);
    if (rc == 0 && !metadata->params)
        rc = err_set(err, ERR_INVALID, "input", "the picture does not tell its parameters");
    return rc < 0 ? rc
                  : json_parse(metadata->params, strlen(metadata->params), limits, out_params, err);
}
