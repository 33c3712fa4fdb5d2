/* SPDX-License-Identifier: MIT
 *
 * describe [MODELS]: the document of GET /openapi.json on standard output, without a dispatcher. */
#include "common/err.h"
#include "common/manifest.h"
#include "dispatcher/openapi/openapi.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct manifest_set models = {0};
    struct err err = {0};
    json_t *document = NULL;
    int rc = argc > 1 ? manifest_set_load(argv[1], &models, &err) : 0;
    if (rc == 0)
        rc = openapi_make(&(struct openapi_options){.models = &models,
                                                    .public_url = "https://lab.example",
                                                    .compat = "selfie2anime"},
                          &document, &err);
    if (rc == 0 && (json_dumpf(document, stdout, JSON_INDENT(1)) < 0 || fflush(stdout) != 0))
        rc = ERR_IO;
    if (rc < 0)
        fprintf(stderr, "describe: %s: %s\n", err_name(rc), err.text);
    json_decref(document);
    manifest_set_fini(&models);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
