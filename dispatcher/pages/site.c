/* SPDX-License-Identifier: MIT
 *
 * The home page, the small print and the files of the site. */
#include "common/catalogue.h"
#include "common/manifest.h"
#include "common/manifest_texts.h"
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

void page_home(struct dispatcher *dispatcher, struct call *call)
{
    const char *language = page_language(dispatcher, call->exchange)->tag;
    json_t *models = json_array(), *view;
    for (size_t i = 0; i < dispatcher->models.count; i++)
        if (manifest_texts_view(&dispatcher->models.items[i], language, &view, NULL) == 0)
            json_array_append_new(models, view);
    page_send(call, 200, "home.html", json_pack("{s:o?}", "models", models));
}

void page_terms(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "terms.html", NULL);
}

void page_privacy(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "privacy.html", NULL);
}

void page_about(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "about.html", NULL);
}
