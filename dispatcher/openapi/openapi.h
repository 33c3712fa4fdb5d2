/* SPDX-License-Identifier: MIT
 *
 * The description of the HTTP API, OpenAPI 3.1: made at start from three files of data that are
 * built in and from the models' manifests.
 *
 *     operations.json   what each route does: a row for each method and path of routes.c
 *     components.json   parameters, headers, rights, how one proves them
 *     schemas.json      what goes in and out
 *
 *     rc = openapi_make(&(struct openapi_options){.models = &models, .public_url = url}, &document,
 *                       &err);
 *
 * A row says only what is its own. What follows from its right (which proofs, which refusals), from
 * its path and from the table of problems is filled in. Rows with "page" are for people, and no
 * part of the document; tests/unit/test_openapi.c holds the rows against the routes, both ways.
 * Any thread. */
#ifndef DARKROOM_DISPATCHER_OPENAPI_OPENAPI_H
#define DARKROOM_DISPATCHER_OPENAPI_OPENAPI_H

#include "common/json.h"

struct err;
struct manifest_set;

/* All borrowed for the call. */
struct openapi_options {
    const struct manifest_set *models;
    const char *public_url; /* without a slash at its end */
    const char *compat;     /* rows with this "compat" are told, too; NULL: none of them */
};

/* *out_document is owned by the caller. ERR_NOMEM; ERR_CORRUPT names the row that refers to what
 * is not there. */
int openapi_make(const struct openapi_options *options, json_t **out_document, struct err *err);

/* The rows as they are, owned by the caller; NULL: no memory. */
json_t *openapi_rows(void);

#endif
