/* SPDX-License-Identifier: MIT */
#include "common/catalogue.h"

#include "common/err.h"

#include <ctype.h>
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

/* The weight of a range in thousandths: ";q=0.8" at `at`; -1 where it is no weight. */
static int read_weight(const char *at, const char *end)
{
    int weight = 0, unit = 100;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (at == end)
        return 1000;
    if (end - at < 2 || *at++ != ';')
        return -1;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (end - at < 3 || tolower((unsigned char)at[0]) != 'q' || at[1] != '=' ||
        (at[2] != '0' && at[2] != '1'))
        return -1;
    weight = (at[2] - '0') * 1000;
    at += 3;
    if (at < end && *at == '.')
        for (at++; at < end && unit > 0 && isdigit((unsigned char)*at); unit /= 10)
            weight += (*at++ - '0') * unit;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at == end && weight <= 1000 ? weight : -1;
}

/* The best weight that was given to each language, and to all that were not named. */
struct wish {
    int weights[LANGUAGES]; /* -1: not named */
    size_t places[LANGUAGES];
    int any;
};

static void read_range(const struct catalogue *catalogue, const char *at, const char *end,
                       size_t place, struct wish *wish)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    const char *stop = at;
    while (stop < end && (isalnum((unsigned char)*stop) || *stop == '-' || *stop == '*'))
        stop++;
    int weight = read_weight(stop, end);
    if (weight < 0 || stop == at)
        return;
    if (stop - at == 1 && *at == '*') {
        wish->any = weight;
        return;
    }
    /* "nl-BE" is as good as "nl" to us; but not to want "nl-BE" says nothing about "nl". */
    const char *dash = memchr(at, '-', (size_t)(stop - at));
    const struct catalogue_language *found =
        find(catalogue, at, (size_t)((dash ? dash : stop) - at));
    size_t index = found ? (size_t)(found - catalogue->languages) : LANGUAGES;
    if (!found || (dash && weight == 0) || weight <= wish->weights[index])
        return;
    wish->weights[index] = weight;
    wish->places[index] = place;
}

const struct catalogue_language *catalogue_negotiate(const struct catalogue *catalogue,
                                                     const char *accept_language)
{
    struct wish wish = {.any = -1};
    size_t best = LANGUAGES;
    memset(wish.weights, -1, sizeof wish.weights);
    const char *at = accept_language ? accept_language : "";
    for (size_t place = 0; *at && place < MAX_RANGES; place++) {
        size_t length = strcspn(at, ",");
        read_range(catalogue, at, at + length, place, &wish);
        at += length + (at[length] == ',');
    }
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
