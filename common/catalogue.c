/* SPDX-License-Identifier: MIT */
#include "common/catalogue.h"

#include "common/err.h"
#include "common/quality.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_BYTES (256 * 1024)
#define MAX_RANGES 32 /* of an Accept-Language; nobody speaks more */
#define MAX_NAME 120

/* Made by embed.c from text/. */
extern const char text_en_json[], text_nl_json[], text_ru_json[], text_zh_json[];

static const struct {
    const char *tag, *name, *json;
} sources[] = {
    {"en", "English", text_en_json},
    {"nl", "Nederlands", text_nl_json},
    {"ru", "Русский", text_ru_json},
    {"zh", "中文", text_zh_json},
};
#define LANGUAGES (sizeof sources / sizeof sources[0])

struct catalogue {
    struct catalogue_language languages[LANGUAGES];
};

int catalogue_open(struct catalogue **out, struct err *err)
{
    static const struct json_limits limits = {.max_bytes = MAX_BYTES, .max_depth = 6};
    struct catalogue *catalogue = calloc(1, sizeof *catalogue);
    int rc = catalogue ? 0 : err_set(err, ERR_NOMEM, NULL, "no memory for the texts");
    for (size_t i = 0; rc == 0 && i < LANGUAGES; i++) {
        struct catalogue_language *language = &catalogue->languages[i];
        struct err why = {0};
        language->tag = sources[i].tag;
        language->name = sources[i].name;
        rc = json_parse(sources[i].json, strlen(sources[i].json), limits, &language->texts, &why);
        if (rc < 0)
            rc = err_set(err, ERR_CORRUPT, language->tag, "the texts: %s", why.text);
    }
    if (rc < 0)
        catalogue_close(&catalogue);
    else
        *out = catalogue;
    return rc;
}

void catalogue_close(struct catalogue **slot)
{
    struct catalogue *catalogue = *slot;
    *slot = NULL;
    for (size_t i = 0; catalogue && i < LANGUAGES; i++)
        json_decref(catalogue->languages[i].texts);
    free(catalogue);
}

const struct catalogue_language *catalogue_languages(const struct catalogue *catalogue,
                                                     size_t *out_count)
{
    *out_count = LANGUAGES;
    return catalogue->languages;
}

static const struct catalogue_language *find(const struct catalogue *catalogue, const char *tag,
                                             size_t length)
{
    for (size_t i = 0; i < LANGUAGES; i++)
        if (strlen(sources[i].tag) == length && strncasecmp(sources[i].tag, tag, length) == 0)
            return &catalogue->languages[i];
    return NULL;
}

const struct catalogue_language *catalogue_find(const struct catalogue *catalogue, const char *tag)
{
    return tag ? find(catalogue, tag, strlen(tag)) : NULL;
}

/* The best weight that was given to each language, and to all that were not named. */
struct wish {
    int weights[LANGUAGES]; /* -1: not named */
    size_t places[LANGUAGES];
    int any;
};

static void weigh(const struct catalogue *catalogue, const struct quality_item *range, size_t place,
                  struct wish *wish)
{
    if (range->size == 1 && *range->name == '*') {
        wish->any = range->weight;
        return;
    }
    /* "nl-BE" is as good as "nl" to us; but not to want "nl-BE" says nothing about "nl". */
    const char *dash = memchr(range->name, '-', range->size);
    const struct catalogue_language *found =
        find(catalogue, range->name, dash ? (size_t)(dash - range->name) : range->size);
    size_t index = found ? (size_t)(found - catalogue->languages) : LANGUAGES;
    if (!found || (dash && range->weight == 0) || range->weight <= wish->weights[index])
        return;
    wish->weights[index] = range->weight;
    wish->places[index] = place;
}

const struct catalogue_language *catalogue_negotiate(const struct catalogue *catalogue,
                                                     const char *accept_language)
{
    struct wish wish = {.any = -1};
    size_t best = LANGUAGES;
    memset(wish.weights, -1, sizeof wish.weights);
    const char *at = accept_language ? accept_language : "";
    struct quality_item range;
    for (size_t place = 0; place < MAX_RANGES && quality_next(&at, &range); place++)
        weigh(catalogue, &range, place, &wish);
    for (size_t i = 0; i < LANGUAGES; i++) {
        if (wish.weights[i] < 0 && wish.any >= 0) {
            wish.weights[i] = wish.any;
            wish.places[i] = MAX_RANGES;
        }
        if (wish.weights[i] > 0 &&
            (best == LANGUAGES || wish.weights[i] > wish.weights[best] ||
             (wish.weights[i] == wish.weights[best] && wish.places[i] < wish.places[best])))
            best = i;
    }
    return &catalogue->languages[best < LANGUAGES ? best : 0];
}

const char *catalogue_text(const struct catalogue_language *language, const char *name)
{
    const json_t *value = language->texts;
    char part[MAX_NAME + 1];
    while (value && *name) {
        size_t length = strcspn(name, ".");
        if (length > MAX_NAME)
            return NULL;
        memcpy(part, name, length);
        part[length] = 0;
        value = json_object_get(value, part);
        name += length + (name[length] == '.');
    }
    return json_string_value(value);
}
