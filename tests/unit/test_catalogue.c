/* SPDX-License-Identifier: MIT */
#include "common/catalogue.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/template.h"
#include "tests/unit/check.h"

static struct catalogue *catalogue;

static const char *chosen(const char *header)
{
    return catalogue_negotiate(catalogue, header)->tag;
}

static void the_language_asked_for_is_spoken(void)
{
    CHECK_TEXT(chosen(NULL), "en");
    CHECK_TEXT(chosen(""), "en");
    CHECK_TEXT(chosen("nl"), "nl");
    CHECK_TEXT(chosen("RU-ru"), "ru");
    CHECK_TEXT(chosen("zh-Hans-CN, zh;q=0.9, en;q=0.8"), "zh");
    CHECK_TEXT(chosen("fr, de"), "en");
    CHECK_TEXT(chosen("fr-CH, fr;q=0.9, nl;q=0.7, *;q=0.5"), "nl");
}

static void weights_and_then_their_order_decide(void)
{
    CHECK_TEXT(chosen("en;q=0.2, nl;q=0.8"), "nl");
    CHECK_TEXT(chosen("nl;q=0.8 , ru ; q=0.801"), "ru");
    CHECK_TEXT(chosen("ru, nl"), "ru");
    CHECK_TEXT(chosen("nl, ru"), "nl");
    CHECK_TEXT(chosen("nl;q=0, *"), "en");
    CHECK_TEXT(chosen("en;q=0, *"), "nl");
    CHECK_TEXT(chosen("en;q=0.3, *;q=0.4"), "nl");
    CHECK_TEXT(chosen("nl-BE;q=0, nl;q=0.5"), "nl");
    CHECK_TEXT(chosen("en;q=0"), "en");
    CHECK_TEXT(chosen("*"), "en");
}

static void what_cannot_be_read_is_passed_over(void)
{
    CHECK_TEXT(chosen("nl;q=2, ru;q=0.1"), "ru");
    CHECK_TEXT(chosen("nl;q=1.001, ru;q=0.1"), "ru");
    CHECK_TEXT(chosen("nl;q=, ru;q=0.1"), "ru");
    CHECK_TEXT(chosen("nl;q=0.5x, ,,; , ru;q=0.1"), "ru");
    CHECK_TEXT(chosen("n\xff, \"zh\", zh q=1, ru;q=0.001"), "ru");
    CHECK_TEXT(chosen("-,--,nl-"), "nl");
    char header[4000];
    size_t size = 0;
    while (size < sizeof header - 8)
        size += (size_t)snprintf(header + size, 8, "xx,");
    memcpy(header + size - 3, "nl", 3);
    CHECK_TEXT(chosen(header), "en");
}

static void languages_and_texts_are_found_by_name(void)
{
    CHECK_TEXT(catalogue_find(catalogue, "ZH")->tag, "zh");
    CHECK(catalogue_find(catalogue, "nl-BE") == NULL);
    CHECK(catalogue_find(catalogue, "") == NULL);
    CHECK(catalogue_find(catalogue, NULL) == NULL);
    const struct catalogue_language *en = catalogue_find(catalogue, "en");
    CHECK_TEXT(catalogue_text(en, "common.brand"), "Darkroom");
    CHECK(catalogue_text(en, "common") == NULL);
    CHECK(catalogue_text(en, "common.brand.x") == NULL);
    CHECK(catalogue_text(en, "common.nothing") == NULL);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The marks of one kind that a text holds, sorted, so that an order of words may differ. */
static void collect(const char *text, const char *from, const char *to, struct buf *out)
{
    char *marks[64];
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, from)) && count < 64;) {
        const char *end = strstr(at, to);
        CHECK(end != NULL);
        marks[count++] = strndup(at, (size_t)(end - at) + strlen(to));
        at = end;
    }
    qsort(marks, count, sizeof marks[0], by_text);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(buf_append_text(out, marks[i]), 0);
        free(marks[i]);
    }
}

static void compare(const char *tag, const char *path, const json_t *want, const json_t *got);

static void compare_texts(const char *path, const char *want, const char *got)
{
    const char *const pairs[][2] = {{"{{", "}}"}, {"<", ">"}};
    struct template_options options = {.texts = NULL};
    struct err err = {0};
    if (template_check(path, got, &options, &err) < 0)
        check_fail(__FILE__, __LINE__, err.text);
    CHECK(strlen(got) > 0);
    for (int i = 0; i < 2; i++) {
        struct buf a, b;
        buf_init(&a, 65536);
        buf_init(&b, 65536);
        collect(want, pairs[i][0], pairs[i][1], &a);
        collect(got, pairs[i][0], pairs[i][1], &b);
        if (strcmp(buf_text(&a), buf_text(&b)) != 0)
            check_text(__FILE__, __LINE__, path, buf_text(&b), buf_text(&a));
        buf_fini(&a);
        buf_fini(&b);
    }
}

static void compare(const char *tag, const char *path, const json_t *want, const json_t *got)
{
    const char *name;
    json_t *value;
    char below[256];
    if (json_typeof(want) != json_typeof(got))
        check_fail(__FILE__, __LINE__, path);
    if (json_is_string(want)) {
        compare_texts(path, json_string_value(want), json_string_value(got));
        return;
    }
    CHECK(json_is_object(want));
    json_object_foreach((json_t *)got, name, value)
    {
        snprintf(below, sizeof below, "%s.%s: only in %s", path, name, tag);
        if (!json_object_get(want, name))
            check_fail(__FILE__, __LINE__, below);
    }
    json_object_foreach((json_t *)want, name, value)
    {
        snprintf(below, sizeof below, "%s.%s: not in %s", path, name, tag);
        if (!json_object_get(got, name))
            check_fail(__FILE__, __LINE__, below);
        *strrchr(below, ':') = 0;
        compare(tag, below, value, json_object_get(got, name));
    }
}

static void all_languages_have_the_same_texts_places_and_markup(void)
{
    size_t count;
    const struct catalogue_language *languages = catalogue_languages(catalogue, &count);
    CHECK_INT(count, 4);
    for (size_t i = 0; i < count; i++)
        compare(languages[i].tag, languages[i].tag, languages[0].texts, languages[i].texts);
}

int main(void)
{
    struct err err = {0};
    if (catalogue_open(&catalogue, &err) < 0) {
        printf("Bail out! %s: %s\n", err.field, err.text);
        return EXIT_FAILURE;
    }
    RUN(the_language_asked_for_is_spoken);
    RUN(weights_and_then_their_order_decide);
    RUN(what_cannot_be_read_is_passed_over);
    RUN(languages_and_texts_are_found_by_name);
    RUN(all_languages_have_the_same_texts_places_and_markup);
    catalogue_close(&catalogue);
    return check_report();
}
