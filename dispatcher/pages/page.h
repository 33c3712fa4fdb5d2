/* SPDX-License-Identifier: MIT
 *
 * A page: a template, filled in the visitor's language and sent with the headers that every page
 * has. See docs/pages.md.
 *
 *     void page_terms(struct dispatcher *dispatcher, struct call *call)
 *     {
 *         page_send(call, 200, "terms.html", json_pack("{s:i}", "days", 30));
 *     }
 *
 * The template sees the members of the data, the texts of the language as `t`, and as `page`:
 *
 *     page.lang, page.language "nl", "Nederlands"
 *     page.theme              "light", "dark" or "" for what the device prefers
 *     page.name               "terms", the template's
 *     page.is.terms           true
 *     page.site, page.url     the public URL; the same with this page's path
 *     page.languages          [{tag, name, link, current}]
 *     page.themes             the same for themes
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_PAGES_PAGE_H
#define DARKROOM_DISPATCHER_PAGES_PAGE_H

#include "common/json.h"

struct answer;
struct call;
struct catalogue_language;
struct dispatcher;
struct exchange;

/* The language of `?lang=`, of the cookie that it left, or of Accept-Language. Borrowed. */
const struct catalogue_language *page_language(const struct dispatcher *dispatcher,
                                               const struct exchange *exchange);

/* A text of that language without its places filled in; "" where there is none. Borrowed. */
const char *page_text(const struct call *call, const char *name);

/* Of each model what a visitor reads about it in that language: the public part of its manifest,
 * and whether there is an "example" of its work and whether it takes a "picture"; those that do
 * come first. Owned by the caller. */
json_t *page_models(const struct call *call);

/* Answers with the template `name`. `data` is taken; NULL: none, or no memory was left for it. */
void page_send(struct call *call, unsigned status, const char *name, json_t *data);

/* The same without sending. NULL: there are no pages, or no memory, or it cannot be rendered. */
struct answer *page_make(struct dispatcher *dispatcher, struct exchange *exchange, const char *name,
                         json_t *data);

/* Is a person asking, with a browser, for something to look at (Accept: text/html)? */
bool page_wanted(const struct exchange *exchange);

#endif
