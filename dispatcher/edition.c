/* SPDX-License-Identifier: MIT */
#include "dispatcher/edition.h"

#include "common/err.h"
#include "dispatcher/compat/selfie2anime.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/pages/pages.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The scheme and host of S3, from where the pages show results; NULL with the local store. */
static const char *image_origin(const struct settings *settings, char out[300])
{
    const char *url = settings->store.endpoint;
    const char *host = url ? strstr(url, "://") : NULL;
    if (strncmp(settings->store.url, "s3:", 3) != 0)
        return NULL;
    if (!host)
        return "https:";
    snprintf(out, 300, "%.*s", (int)(host + 3 - url + (int)strcspn(host + 3, "/?# ;,")), url);
    return out;
}

int edition_open(const struct settings *settings, const char *models, const char *public_url,
                 struct edition **out, struct err *err)
{
    char origin[300];
    struct edition *edition = calloc(1, sizeof *edition);
    if (!edition)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the models");
    int rc = err_blame(manifest_set_load(models, &edition->models, err), "models", err);
    if (rc == 0)
        rc = pages_open(&(struct pages_options){.folder = settings->web,
                                                .models = &edition->models,
                                                .image_origin = image_origin(settings, origin),
                                                .public_url = public_url,
                                                .compat = settings->compat ? "selfie2anime" : NULL},
                        &edition->pages, err);
    if (rc == 0 && settings->compat && !settings->web)
        rc = err_set(err, ERR_INVALID, "compat", "--compat answers with pages: it needs --web");
    if (rc == 0)
        rc = selfie2anime_open(settings->compat, &edition->models, &edition->selfie2anime, err);
    if (rc < 0)
        edition_close(&edition);
    else
        *out = edition;
    return rc;
}

void edition_close(struct edition **slot)
{
    struct edition *edition = *slot;
    *slot = NULL;
    if (!edition)
        return;
    selfie2anime_close(&edition->selfie2anime);
    pages_close(&edition->pages);
    manifest_set_fini(&edition->models);
    free(edition);
}

/* The newest is the one in force; the others stay for their requests. */
static void drop_unused(struct dispatcher *dispatcher)
{
    struct edition **slot = &dispatcher->edition->older;
    while (*slot) {
        struct edition *old = *slot;
        if (old->calls > 0) {
            slot = &old->older;
            continue;
        }
        *slot = old->older;
        edition_close(&old);
    }
}

void edition_publish(struct dispatcher *dispatcher, struct edition **slot)
{
    struct edition *edition = *slot;
    *slot = NULL;
    edition->older = dispatcher->edition;
    dispatcher->edition = edition;
    dispatcher->models = edition->models;
    dispatcher->pages = edition->pages;
    dispatcher->selfie2anime = edition->selfie2anime;
    drop_unused(dispatcher);
}

struct edition *edition_hold(struct dispatcher *dispatcher)
{
    dispatcher->edition->calls++;
    return dispatcher->edition;
}

void edition_release(struct dispatcher *dispatcher, struct edition *edition)
{
    assert(edition->calls > 0);
    if (--edition->calls == 0 && edition != dispatcher->edition)
        drop_unused(dispatcher);
}

void editions_close(struct dispatcher *dispatcher)
{
    while (dispatcher->edition) {
        struct edition *edition = dispatcher->edition;
        dispatcher->edition = edition->older;
        edition_close(&edition);
    }
    dispatcher->models = (struct manifest_set){0};
    dispatcher->pages = NULL;
    dispatcher->selfie2anime = NULL;
}
