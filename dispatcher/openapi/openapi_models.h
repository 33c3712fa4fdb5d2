/* SPDX-License-Identifier: MIT
 *
 * What the manifests bring into the description of the API: a schema of the parameters of each
 * model, `Params.<name>`, and one of its submissions, `Submission.<name>`; `Submission` is any of
 * these. For openapi.c alone. */
#ifndef DARKROOM_DISPATCHER_OPENAPI_OPENAPI_MODELS_H
#define DARKROOM_DISPATCHER_OPENAPI_OPENAPI_MODELS_H

#include "common/json.h"

struct manifest_set;

/* `schemas` as of schemas.json, and changed. Without any model `Submission` stays as it is there.
 * ERR_NOMEM. */
int openapi_add_models(json_t *schemas, const struct manifest_set *models);

#endif
