/* SPDX-License-Identifier: MIT
 *
 * What the pages are made of: the templates and assets of one folder, the texts of all languages,
 * the list of models. All of it is read and checked once at start.
 *
 *     rc = pages_open(&(struct pages_options){.folder = "build/dispatcher/web", ...}, &pages,
 * &err);
 *
 * The folder holds templates (*.html) and assets/. How a page is made is page.h and docs/pages.md.
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_PAGES_PAGES_H
#define DARKROOM_DISPATCHER_PAGES_PAGES_H

#include "common/json.h"

#include <stdbool.h>

struct answer;
struct assets;
struct catalogue;
struct dispatcher;
struct err;
struct exchange;
struct manifest_set;
struct problem;

/* All borrowed for the call. */
struct pages_options {
    const char *folder; /* NULL: no pages, only the list of models */
    const struct manifest_set *models;
    const char *image_origin; /* whence results are shown: "https://host"; NULL: from here */
    const char *public_url;
    const char *compat; /* see openapi.h */
};

struct pages {
    json_t *description;         /* owned: of GET /openapi.json */
    struct assets *assets;       /* owned */
    struct catalogue *catalogue; /* owned */
    char policy[1024];           /* Content-Security-Policy of pages */
    bool secure;                 /* the public URL is https */
};

/* ERR_LIMIT: more files or bytes than a website of this kind has. ERR_INVALID, ERR_NOT_FOUND: a
 * template that cannot be rendered; the text names it and the line. */
int pages_open(const struct pages_options *options, struct pages **out, struct err *err);
void pages_close(struct pages **pages);

/* For exchange_handlers: a problem that a person is to read, as a page; NULL: as a document. */
struct answer *pages_problem(void *dispatcher, struct exchange *exchange,
                             const struct problem *problem);

#endif
