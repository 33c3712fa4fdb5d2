/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/page.h"

#include "common/buf.h"
#include "common/catalogue.h"
#include "common/err.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/manifest_texts.h"
#include "common/quality.h"
#include "common/template.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/cookie.h"
#include "dispatcher/http/server.h"
#include "dispatcher/pages/assets.h"
#include "dispatcher/pages/pages.h"

#include <string.h>

#define MAX_PAGE_BYTES (1024 * 1024)
#define MAX_WORD 16 /* a language's tag, a theme */
#define MAX_LINK 2048
#define YEAR_S (365 * 24 * 3600)

static const char *const themes[] = {"auto", "light", "dark"};

/* ---- what a visitor prefers ---- */

/* `?name=` of this request, else the cookie that an earlier one left. */
static bool preference(const struct exchange *exchange, const char *name, char out[MAX_WORD])
{
    return exchange_query(exchange, name, out, MAX_WORD) == 0 ||
           cookie_find(exchange_header(exchange, "Cookie"), name, out, MAX_WORD);
}

const struct catalogue_language *page_language(const struct dispatcher *dispatcher,
                                               const struct exchange *exchange)
{
    const struct catalogue *catalogue = dispatcher->pages->catalogue;
    const struct catalogue_language *found = NULL;
    char word[MAX_WORD];
    if (preference(exchange, "lang", word))
        found = catalogue_find(catalogue, word);
    return found ? found
                 : catalogue_negotiate(catalogue, exchange_header(exchange, "Accept-Language"));
}

static const char *chosen_theme(const struct exchange *exchange)
{
    char word[MAX_WORD];
    for (size_t i = 0; preference(exchange, "theme", word) && i < 3; i++)
        if (strcmp(word, themes[i]) == 0)
            return themes[i];
    return themes[0];
}

const char *page_text(const struct call *call, const char *name)
{
    const char *text = catalogue_text(page_language(call->dispatcher, call->exchange), name);
    return text ? text : "";
}

json_t *page_models(const struct call *call)
{
    const struct dispatcher *dispatcher = call->dispatcher;
    const char *language = page_language(dispatcher, call->exchange)->tag;
    char example[ASSETS_MAX_NAME];
    json_t *list = json_array(), *view;
    size_t with_picture = 0;
    for (size_t i = 0; i < dispatcher->models.count; i++) {
        const struct manifest *model = &dispatcher->models.items[i];
        if (manifest_texts_view(model, language, &view, NULL) < 0)
            continue;
        snprintf(example, sizeof example, "assets/example-%s.webp", model->name);
        json_object_set_new(view, "example",
                            json_boolean(assets_has(dispatcher->pages->assets, example)));
        json_object_set_new(view, "picture", json_boolean(model->has_input));
        json_array_insert_new(list, model->has_input ? with_picture : json_array_size(list), view);
        with_picture += model->has_input;
    }
    return list;
}

/* What was chosen with a link holds for a year, on the pages alone. */
static void remember(const struct pages *pages, struct exchange *exchange, const char *name,
                     const char *value)
{
    char word[MAX_WORD], line[COOKIE_LINE_MAX];
    struct cookie cookie = {.name = name,
                            .value = value,
                            .path = "/",
                            .max_age_s = YEAR_S,
                            .hidden = true,
                            .secure = pages->secure};
    if (exchange_query(exchange, name, word, sizeof word) == 0 && strcmp(word, value) == 0 &&
        cookie_write(&cookie, line, sizeof line))
        exchange_add_header(exchange, "Set-Cookie", line);
}

/* ---- what every template sees ---- */

/* "?lang=nl" and whatever else the request had, so that the same page is asked for again. */
static json_t *link_with(const struct exchange *exchange, const char *name, const char *value)
{
    struct buf link;
    size_t name_size = strlen(name);
    buf_init(&link, MAX_LINK);
    int rc = buf_join(&link, "?", name, "=", value, NULL);
    for (const char *at = exchange_raw_query(exchange); rc == 0 && *at;) {
        size_t size = strcspn(at, "&");
        if (size > 0 && (strncmp(at, name, name_size) != 0 || at[name_size] != '=')) {
            rc = buf_append_text(&link, "&");
            if (rc == 0)
                rc = buf_append(&link, at, size);
        }
        at += size + (at[size] == '&');
    }
    json_t *text = rc == 0 ? json_string(buf_text(&link)) : NULL;
    buf_fini(&link);
    /* Too long, or bytes that are no text: then without the rest. */
    return text ? text : json_sprintf("?%s=%s", name, value);
}

static json_t *list_languages(const struct dispatcher *dispatcher, const struct exchange *exchange,
                              const struct catalogue_language *current)
{
    size_t count;
    const struct catalogue_language *all =
        catalogue_languages(dispatcher->pages->catalogue, &count);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:b}", "tag", all[i].tag, "name",
                                              all[i].name, "link",
                                              link_with(exchange, "lang", all[i].tag), "current",
                                              &all[i] == current));
    return list;
}

static json_t *list_themes(const struct exchange *exchange,
                           const struct catalogue_language *language, const char *current)
{
    char name[40];
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof themes / sizeof themes[0]; i++) {
        snprintf(name, sizeof name, "common.theme_%s", themes[i]);
        json_array_append_new(list,
                              json_pack("{s:s?, s:o, s:b}", "name", catalogue_text(language, name),
                                        "link", link_with(exchange, "theme", themes[i]), "current",
                                        themes[i] == current));
    }
    return list;
}

static json_t *describe(const struct dispatcher *dispatcher, const struct exchange *exchange,
                        const struct catalogue_language *language, const char *theme,
                        const char *template)
{
    char name[ASSETS_MAX_NAME];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(template, "."), template);
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:b}, s:s, s:o?, s:o, s:o}", "lang", language->tag,
                     "language", language->name, "theme", theme == themes[0] ? "" : theme, "name",
                     name, "is", name, 1, "site", dispatcher->public_url, "url",
                     json_sprintf("%s%s", dispatcher->public_url, exchange_path(exchange)),
                     "languages", list_languages(dispatcher, exchange, language), "themes",
                     list_themes(exchange, language, theme));
}

/* ---- sending ---- */

static const char *find_partial(void *context, const char *name)
{
    const struct assets *assets = context;
    return name[0] == '_' ? assets_text(assets, name) : NULL;
}

static void put_headers(const struct pages *pages, struct answer *answer, const char *language)
{
    answer_header(answer, "Content-Type", "text/html; charset=utf-8");
    answer_header(answer, "Content-Language", language);
    answer_header(answer, "Cache-Control", "private, no-cache");
    answer_header(answer, "Vary", "Accept, Accept-Language, Cookie");
    answer_header(answer, "Content-Security-Policy", pages->policy);
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "X-Frame-Options", "DENY");
    /* Links hold tokens: nothing of them goes to other sites. "no-referrer" would make browsers
     * send our own forms with "Origin: null". */
    answer_header(answer, "Referrer-Policy", "same-origin");
    answer_header(answer, "Permissions-Policy",
                  "camera=(self), microphone=(), geolocation=(), payment=(), usb=()");
    answer_header(answer, "Cross-Origin-Opener-Policy", "same-origin");
    answer_header(answer, "Cross-Origin-Resource-Policy", "same-origin");
    if (pages->secure)
        answer_header(answer, "Strict-Transport-Security", "max-age=31536000");
}

struct answer *page_make(struct dispatcher *dispatcher, struct exchange *exchange, const char *name,
                         json_t *data)
{
    const struct pages *pages = dispatcher->pages;
    const struct catalogue_language *language = page_language(dispatcher, exchange);
    const char *text = assets_text(pages->assets, name);
    const char *theme = chosen_theme(exchange);
    struct template_options options = {
        .html = true, .partials = find_partial, .context = pages->assets, .texts = language->texts};
    struct answer *answer = NULL;
    struct err err = {0};
    struct buf out;
    size_t size;
    buf_init(&out, MAX_PAGE_BYTES);
    json_t *all = json_pack("{s:o}", "page", describe(dispatcher, exchange, language, theme, name));
    if (!text || !all || (data && json_object_update(all, data) < 0))
        goto out;
    if (template_render(name, text, all, &options, &out, &err) < 0) {
        log_event(LOG_ERROR, "page.broken", "detail", LOG_S, err.text, NULL);
        goto out;
    }
    remember(pages, exchange, "lang", language->tag);
    remember(pages, exchange, "theme", theme);
    char *body = buf_steal(&out, &size);
    answer = answer_take(body, size);
    put_headers(pages, answer, language->tag);
out:
    buf_fini(&out);
    json_decref(all);
    json_decref(data);
    return answer;
}

void page_send(struct call *call, unsigned status, const char *name, json_t *data)
{
    if (!assets_text(call->dispatcher->pages->assets, name)) {
        json_decref(data);
        call_refuse(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    struct answer *answer = page_make(call->dispatcher, call->exchange, name, data);
    if (answer)
        exchange_respond(call->exchange, status, answer);
    else
        call_refuse(call, PROBLEM_INTERNAL, NULL);
}

bool page_wanted(const struct exchange *exchange)
{
    return quality_names(exchange_header(exchange, "Accept"), "text/html");
}
