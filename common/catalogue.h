/* SPDX-License-Identifier: MIT
 *
 * What Darkroom says to people, in each language that it speaks: common/text/<tag>.json, built in.
 *
 *     rc = catalogue_open(&catalogue, &err);
 *     language = catalogue_negotiate(catalogue, exchange_header(exchange, "Accept-Language"));
 *     options.texts = language->texts;            // then {{t.submit.title}} in a template
 *     text = catalogue_text(language, "mail.ready.subject");
 *     catalogue_close(&catalogue);
 *
 * All languages have the same texts, with the same {{places}} to fill in: a test sees to it.
 * Written once, then read-only: any thread may read it. */
#ifndef DARKROOM_COMMON_CATALOGUE_H
#define DARKROOM_COMMON_CATALOGUE_H

#include "common/json.h"

#include <stddef.h>

struct catalogue;
struct err;

struct catalogue_language {
    const char *tag;  /* "en", "zh"; for <html lang> and Content-Language */
    const char *name; /* of the language, in itself: "Nederlands" */
    json_t *texts;    /* owned by the catalogue; sections of texts */
};

/* ERR_CORRUPT with the language's tag as its field, ERR_NOMEM. */
int catalogue_open(struct catalogue **out, struct err *err);
void catalogue_close(struct catalogue **catalogue);

/* All languages; the first is the one spoken to whoever asks for none of them. Borrowed. */
const struct catalogue_language *catalogue_languages(const struct catalogue *catalogue,
                                                     size_t *out_count);

/* A language by its tag, in any case; NULL: none, or `tag` is NULL. Borrowed. */
const struct catalogue_language *catalogue_find(const struct catalogue *catalogue, const char *tag);

/* The language that suits an Accept-Language header (nullable) best: RFC 9110, 12.5.4, with the
 * lookup of RFC 4647, 3.4, so that "nl-BE" finds "nl". What cannot be read is passed over. Never
 * NULL. Borrowed. */
const struct catalogue_language *catalogue_negotiate(const struct catalogue *catalogue,
                                                     const char *accept_language);

/* A text by its dotted name, or NULL. Borrowed. */
const char *catalogue_text(const struct catalogue_language *language, const char *name);

#endif
