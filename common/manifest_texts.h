/* SPDX-License-Identifier: MIT
 *
 * A manifest's texts in other languages.
 *
 *     {"title": "Portrait to drawing", …,
 *      "translations": {"nl": {"title": "Portret wordt tekening", "description": "…",
 *                              "params": {"paper": {"title": "Papier", "description": "…",
 *                                                   "choices": {"white": "wit"}}}}}}
 *
 *     rc = manifest_texts_check(document, &err);                     // once, by manifest_parse()
 *     rc = manifest_texts_view(manifest, "nl", &view, &err);         // for each page
 *
 * A language is two or three small letters (ISO 639), every text in it may be left out, and what
 * is missing is shown as the manifest itself has it. "en" may be among them, to give names to
 * choices. Pure: any thread. */
#ifndef DARKROOM_COMMON_MANIFEST_TEXTS_H
#define DARKROOM_COMMON_MANIFEST_TEXTS_H

#include "common/json.h"

struct manifest;

enum { MANIFEST_MAX_TITLE = 100, MANIFEST_MAX_DESCRIPTION = 2000, MANIFEST_MAX_LANGUAGES = 16 };

/* ERR_INVALID or ERR_LIMIT; the field says where ("translations.nl.params.paper.title"). The
 * schema in `document` was checked before. */
int manifest_texts_check(const json_t *document, struct err *err);

/* The public part as a speaker of `language` reads it: without "translations", with a member
 * "labels" beside each parameter's "enum" where its choices have names. *out_view is owned by the
 * caller and shares nothing with the manifest. ERR_NOMEM. */
int manifest_texts_view(const struct manifest *manifest, const char *language, json_t **out_view,
                        struct err *err);

#endif
