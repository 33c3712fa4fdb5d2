/* SPDX-License-Identifier: MIT */
#include "dispatcher/openapi/openapi_models.h"

#include "common/err.h"
#include "common/manifest.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME (MANIFEST_MAX_NAME + 16)
#define MAX_REFERENCE (MAX_NAME + 24)

static void reference(const char *name, char out[MAX_REFERENCE])
{
    snprintf(out, MAX_REFERENCE, "#/components/schemas/%s", name);
}

/* No picture, no part of one, and nothing that has to be there but the model's name. */
static int without_picture(json_t *submission, json_t *properties)
{
    json_t *required = json_pack("[s]", "model");
    json_object_del(properties, "input");
    json_object_del(properties, "crop");
    return json_object_set_new(submission, "required", required);
}

static json_t *submission_of(const json_t *base, const struct manifest *model, const char *params)
{
    char path[MAX_REFERENCE];
    json_t *submission = json_deep_copy(base);
    json_t *properties = json_object_get(submission, "properties");
    json_t *description = json_object_get(model->document, "description");
    reference(params, path);
    int failed = json_object_set_new(submission, "title", json_string(model->title));
    failed |= json_object_set(submission, "description", description);
    failed |= json_object_set_new(properties, "model", json_pack("{s:s}", "const", model->name));
    failed |= json_object_set_new(properties, "params", json_pack("{s:s}", "$ref", path));
    if (!model->has_input)
        failed |= without_picture(submission, properties);
    if (failed) {
        json_decref(submission);
        return NULL;
    }
    return submission;
}

static int add_model(json_t *schemas, const json_t *base, const struct manifest *model,
                     json_t *choices, json_t *mapping)
{
    char params[MAX_NAME], name[MAX_NAME], path[MAX_REFERENCE];
    snprintf(params, sizeof params, "Params.%s", model->name);
    snprintf(name, sizeof name, "Submission.%s", model->name);
    reference(name, path);
    if (json_object_set_new(schemas, params, json_deep_copy(model->params)) ||
        json_object_set_new(schemas, name, submission_of(base, model, params)) ||
        json_array_append_new(choices, json_pack("{s:s}", "$ref", path)) ||
        json_object_set_new(mapping, model->name, json_string(path)))
        return ERR_NOMEM;
    return 0;
}

/* In a form the model is one of these. */
static int name_models(json_t *schemas, const struct manifest_set *models)
{
    json_t *names = json_array();
    json_t *model = json_object_get(
        json_object_get(json_object_get(schemas, "SubmissionForm"), "properties"), "model");
    int failed = !names;
    for (size_t i = 0; i < models->count; i++)
        failed |= json_array_append_new(names, json_string(models->items[i].name));
    failed |= json_object_set_new(model, "enum", names);
    return failed ? ERR_NOMEM : 0;
}

int openapi_add_models(json_t *schemas, const struct manifest_set *models)
{
    if (models->count == 0)
        return 0;
    json_t *base = json_incref(json_object_get(schemas, "Submission"));
    json_t *choices = json_array(), *mapping = json_object();
    int rc = 0;
    /* Those that take a picture come first: the first one is what examples are of. */
    for (size_t i = 0; rc == 0 && i < 2 * models->count; i++) {
        const struct manifest *model = &models->items[i % models->count];
        if (model->has_input == (i < models->count))
            rc = add_model(schemas, base, model, choices, mapping);
    }
    if (rc == 0 &&
        json_object_set_new(schemas, "Submission",
                            json_pack("{s:O, s:{s:s, s:O}}", "oneOf", choices, "discriminator",
                                      "propertyName", "model", "mapping", mapping)))
        rc = ERR_NOMEM;
    json_decref(base);
    json_decref(choices);
    json_decref(mapping);
    return rc == 0 ? name_models(schemas, models) : rc;
}
