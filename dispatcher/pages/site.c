/* SPDX-License-Identifier: MIT
 *
 * The home page, the small print and the files of the site. */
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/pages/assets.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/pages.h"
#include "dispatcher/routes.h"

#include <string.h>

void models_get(struct dispatcher *dispatcher, struct call *call)
{
    assets_send(dispatcher->pages->assets, call, "models");
}

void openapi_get(struct dispatcher *dispatcher, struct call *call)
{
    assets_send(dispatcher->pages->assets, call, "openapi.json");
}

void page_asset(struct dispatcher *dispatcher, struct call *call)
{
    char name[ASSETS_MAX_NAME] = "assets/";
    if (router_capture(&call->match, 0, name + 7, sizeof name - 7))
        assets_send(dispatcher->pages->assets, call, name);
    else
        call_refuse(call, PROBLEM_NOT_FOUND, NULL);
}

void page_robots(struct dispatcher *dispatcher, struct call *call)
{
    assets_send(dispatcher->pages->assets, call, "robots.txt");
}

static const char *name_of(const json_t *model)
{
    return json_string_value(json_object_get(model, "name"));
}

void page_home(struct dispatcher *dispatcher, struct call *call)
{
    json_t *models = page_models(call);
    const json_t *first = json_array_get(models, 0);
    bool shown = json_is_true(json_object_get(first, "example"));
    bool only = json_array_size(models) == 1;
    page_send(call, 200, "home.html",
              json_pack("{s:o?, s:s?, s:s?}", "models", models, "only",
                        only ? name_of(first) : NULL, "hero", shown ? name_of(first) : NULL));
}

void page_about(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "about.html",
              json_pack("{s:o?, s:b}", "models", page_models(call), "licences",
                        assets_has(dispatcher->pages->assets, "assets/licences.txt")));
}

void page_terms(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "terms.html", NULL);
}

/* In the largest unit of which there are two or more, so that no language needs a singular. */
static json_t *duration(int64_t seconds)
{
    if (seconds < 120)
        return json_pack("{s:b}", "minute", 1);
    if (seconds < 2 * 3600)
        return json_pack("{s:I}", "minutes", (json_int_t)(seconds / 60));
    if (seconds < 2 * 86400)
        return json_pack("{s:I}", "hours", (json_int_t)(seconds / 3600));
    return json_pack("{s:I}", "days", (json_int_t)(seconds / 86400));
}

/* "somebody@example.org" or "https://…"; anything else is shown without a link that could harm. */
static json_t *contact(const char *text)
{
    bool web = text && (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0);
    if (!text)
        return json_null();
    return json_pack("{s:s, s:o}", "text", text, "link",
                     web ? json_string(text) : json_sprintf("mailto:%s", text));
}

void page_privacy(struct dispatcher *dispatcher, struct call *call)
{
    json_t *models = page_models(call);
    for (size_t i = 0; i < json_array_size(models); i++) {
        json_t *view = json_array_get(models, i);
        const struct manifest *model = manifest_set_find(&dispatcher->models, name_of(view));
        int64_t result_s =
            model->result_s ? model->result_s : dispatcher->settings->retain_ms / 1000;
        if (model->has_input)
            json_object_set_new(view, "picture_kept", duration(model->input_s));
        if (model->has_input && model->keep_crop)
            json_object_set_new(view, "crop_kept", duration(result_s));
        json_object_set_new(view, "result_kept", duration(result_s));
    }
    page_send(call, 200, "privacy.html",
              json_pack("{s:o?, s:o?}", "models", models, "contact",
                        contact(dispatcher->settings->contact)));
}
