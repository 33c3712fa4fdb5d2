/* SPDX-License-Identifier: MIT */
#include "common/provenance.h"

#include "common/picture_metadata.h"

#include <string.h>

const char *provenance_text(enum provenance_bar bar)
{
    static const char *const texts[] = {
        [PROVENANCE_FREE] = "it can be made again",
        [PROVENANCE_UNNAMED] = "the picture does not say which model made it",
        [PROVENANCE_OTHER_MODEL] = "the model that made the picture is not here",
        [PROVENANCE_NEEDS_PICTURE] =
            "its model makes pictures of another one, which is not in the file",
        [PROVENANCE_OTHER_WEIGHTS] =
            "its model has other weights now than those that made the picture",
        [PROVENANCE_WITHHELD] = "the picture does not tell its parameters",
        [PROVENANCE_REFUSED] = "its model does not take these parameters",
    };
    return texts[bar];
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

enum provenance_bar provenance_again(const struct picture_metadata *metadata, const json_t *model,
                                     json_t **out_params)
{
    static const struct json_limits limits = {.max_bytes = PICTURE_PARAMS_MAX, .max_depth = 8};
    const char *params = metadata->params;
    if (!metadata->model[0])
        return PROVENANCE_UNNAMED;
    if (strcmp(text_of(model, "name"), metadata->model))
        return PROVENANCE_OTHER_MODEL;
    if (strcmp(text_of(json_object_get(model, "input"), "kind"), "none"))
        return PROVENANCE_NEEDS_PICTURE;
    if (!metadata->weights_sha256[0] ||
        strcmp(text_of(model, "weights_sha256"), metadata->weights_sha256))
        return PROVENANCE_OTHER_WEIGHTS;
    if (!params || json_parse(params, strlen(params), limits, out_params, NULL) < 0)
        return PROVENANCE_WITHHELD;
    return PROVENANCE_FREE;
}
