/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/pages.h"

#include "common/buf.h"
#include "common/catalogue.h"
#include "common/err.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/template.h"
#include "dispatcher/openapi/openapi.h"
#include "dispatcher/pages/assets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_models(struct assets *assets, const struct manifest_set *models, struct err *err)
{
    struct buf text;
    buf_init(&text, 16 * 1024 * 1024);
    int rc = buf_append_text(&text, "{\"models\":[");
    for (size_t i = 0; rc == 0 && i < models->count; i++) {
        if (i > 0)
            rc = buf_append_text(&text, ",");
        if (rc == 0)
            rc = json_append(&text, models->items[i].view, JSON_COMPACT);
    }
    if (rc == 0)
        rc = buf_append_text(&text, "]}");
    if (rc == 0)
        rc = assets_add(assets, "models", "application/json", &text, err);
    buf_fini(&text);
    return rc < 0 ? err_set(err, rc, "models", "no room for the list of models") : 0;
}

static int add_description(struct pages *pages, const struct pages_options *options,
                           struct err *err)
{
    const struct openapi_options of = {
        .models = options->models, .public_url = options->public_url, .compat = options->compat};
    struct buf text;
    buf_init(&text, 16 * 1024 * 1024);
    int rc = openapi_make(&of, &pages->description, err);
    if (rc == 0)
        rc = json_append(&text, pages->description, JSON_COMPACT);
    if (rc == 0)
        rc = assets_add(pages->assets, "openapi.json", "application/json", &text, err);
    buf_fini(&text);
    return rc < 0 ? err_set(err, rc, "models", "the API's description cannot be made") : 0;
}

/* Only what stands here may run, be shown or be asked for: no inline script, no inline style. */
static void write_policy(const char *image_origin, char out[1024])
{
    const char *space = image_origin ? " " : "", *origin = image_origin ? image_origin : "";
    snprintf(
        out, 1024,
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' blob: data:%s%s; media-src 'self' blob:; connect-src 'self' blob:%s%s; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        space, origin, space, origin);
}

static const char *find_partial(void *context, const char *name)
{
    return assets_text(context, name);
}

struct check {
    struct assets *assets;
    const struct catalogue_language *language;
    struct err *err;
};

/* What a page could not be rendered for is better known now than when somebody asks. */
static int check_template(void *context, const char *name, const char *text)
{
    struct check *check = context;
    const char *dot = strrchr(name, '.');
    struct template_options options = {.html = true,
                                       .partials = find_partial,
                                       .context = check->assets,
                                       .texts = check->language->texts};
    if (!dot || strcmp(dot, ".html") != 0)
        return 0;
    return template_check(name, text, &options, check->err);
}

static int read_folder(struct pages *pages, const char *folder, struct err *err)
{
    static const char *const prefixes[] = {"", "assets/", "assets/text/"};
    size_t count;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof prefixes / sizeof prefixes[0]; i++)
        rc = assets_read_folder(pages->assets, folder, prefixes[i], err);
    const struct catalogue_language *languages = catalogue_languages(pages->catalogue, &count);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = assets_each(pages->assets, check_template,
                         &(struct check){pages->assets, &languages[i], err});
    return rc;
}

int pages_open(const struct pages_options *options, struct pages **out, struct err *err)
{
    struct pages *pages = calloc(1, sizeof *pages);
    int rc = pages ? 0 : err_set(err, ERR_NOMEM, NULL, "no memory for pages");
    if (rc == 0) {
        write_policy(options->image_origin, pages->policy);
        pages->secure = strncmp(options->public_url, "https://", 8) == 0;
        rc = catalogue_open(&pages->catalogue, err);
    }
    if (rc == 0)
        rc = assets_create(pages->policy, &pages->assets, err);
    if (rc == 0)
        rc = add_models(pages->assets, options->models, err);
    if (rc == 0)
        rc = add_description(pages, options, err);
    if (rc == 0 && options->folder && options->folder[0])
        rc = read_folder(pages, options->folder, err);
    if (rc < 0)
        pages_close(&pages);
    else
        *out = pages;
    return rc;
}

void pages_close(struct pages **slot)
{
    struct pages *pages = *slot;
    *slot = NULL;
    if (!pages)
        return;
    json_decref(pages->description);
    assets_destroy(&pages->assets);
    catalogue_close(&pages->catalogue);
    free(pages);
}
