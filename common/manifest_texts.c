/* SPDX-License-Identifier: MIT */
#include "common/manifest_texts.h"

#include "common/err.h"
#include "common/manifest.h"
#include "common/params.h"

#include <stdio.h>
#include <string.h>

#define MAX_PATH 128

static bool language_is_valid(const char *language)
{
    size_t length = strlen(language);
    return length >= 2 && length <= 3 && strspn(language, "abcdefghijklmnopqrstuvwxyz") == length;
}

static bool is_choice(const json_t *property, const char *name)
{
    const json_t *choices = json_object_get(property, "enum");
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const char *choice = json_string_value(json_array_get(choices, i));
        if (choice && strcmp(choice, name) == 0)
            return true;
    }
    return false;
}

/* Not json_get_text(): a choice may hold a dot, which is that function's separator. */
static int check_choices(const json_t *property, json_t *choices, const char *path, struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(choices, name, value)
    {
        const char *label = json_string_value(value);
        if (!is_choice(property, name))
            return err_set(err, ERR_INVALID, path, "%s names what is no choice", path);
        if (!label || !label[0] || json_string_length(value) > PARAMS_MAX_TITLE ||
            !json_text_is_clean(label, json_string_length(value)))
            return err_set(err, ERR_INVALID, path, "%s needs texts of 1 to %d bytes", path,
                           PARAMS_MAX_TITLE);
    }
    return 0;
}

static int check_param(const json_t *property, json_t *texts, const char *path, struct err *err)
{
    static const char *const names[] = {"title", "description", "choices", NULL};
    char member[MAX_PATH + 16];
    const char *text;
    json_t *choices = NULL;
    int rc = json_check_members(texts, path, names, err);
    snprintf(member, sizeof member, "%s.title", path);
    if (rc == 0)
        rc = json_opt_text(texts, member, PARAMS_MAX_TITLE, &text, err);
    snprintf(member, sizeof member, "%s.description", path);
    if (rc == 0)
        rc = json_opt_text(texts, member, PARAMS_MAX_DESCRIPTION, &text, err);
    snprintf(member, sizeof member, "%s.choices", path);
    if (rc == 0)
        rc = json_opt_object(texts, member, &choices, err);
    return rc == 0 ? check_choices(property, choices, member, err) : rc;
}

static int check_language(const json_t *document, const char *language, json_t *texts,
                          struct err *err)
{
    static const char *const names[] = {"title", "description", "params", NULL};
    const json_t *properties = json_object_get(json_object_get(document, "params"), "properties");
    char path[MAX_PATH / 2];
    const char *text, *name;
    json_t *params = NULL, *value;
    snprintf(path, sizeof path, "translations.%s", language);
    int rc = json_check_members(texts, path, names, err);
    snprintf(path, sizeof path, "translations.%s.title", language);
    if (rc == 0)
        rc = json_opt_text(texts, path, MANIFEST_MAX_TITLE, &text, err);
    snprintf(path, sizeof path, "translations.%s.description", language);
    if (rc == 0)
        rc = json_opt_text(texts, path, MANIFEST_MAX_DESCRIPTION, &text, err);
    snprintf(path, sizeof path, "translations.%s.params", language);
    if (rc == 0)
        rc = json_opt_object(texts, path, &params, err);
    json_object_foreach(params, name, value)
    {
        const json_t *property = json_object_get(properties, name);
        char of_param[MAX_PATH];
        if (rc == 0 && !property)
            rc = err_set(err, ERR_INVALID, path, "%s names what is no parameter", path);
        if (rc < 0)
            return rc;
        snprintf(of_param, sizeof of_param, "%s.%.*s", path, PARAMS_MAX_NAME, name);
        rc = check_param(property, value, of_param, err);
    }
    return rc;
}

int manifest_texts_check(const json_t *document, struct err *err)
{
    json_t *translations = NULL, *texts;
    const char *language;
    int rc = json_opt_object(document, "translations", &translations, err);
    if (rc == 0 && json_object_size(translations) > MANIFEST_MAX_LANGUAGES)
        rc = err_set(err, ERR_LIMIT, "translations", "translations has more than %d languages",
                     MANIFEST_MAX_LANGUAGES);
    json_object_foreach(translations, language, texts)
    {
        if (rc == 0 && !language_is_valid(language))
            rc = err_set(err, ERR_INVALID, "translations",
                         "a language of translations is two or three small letters");
        if (rc < 0)
            return rc;
        rc = check_language(document, language, texts, err);
    }
    return rc;
}

static int copy_text(json_t *to, const char *as, const json_t *from, const char *name)
{
    const json_t *value = json_object_get(from, name);
    return value ? json_object_set_new(to, as, json_deep_copy(value)) : 0;
}

static int apply(json_t *view, const json_t *texts)
{
    json_t *properties = json_object_get(json_object_get(view, "params"), "properties"), *property;
    const json_t *params = json_object_get(texts, "params");
    const char *name;
    int failed = copy_text(view, "title", texts, "title");
    failed |= copy_text(view, "description", texts, "description");
    json_object_foreach(properties, name, property)
    {
        const json_t *own = json_object_get(params, name);
        failed |= copy_text(property, "title", own, "title");
        failed |= copy_text(property, "description", own, "description");
        failed |= copy_text(property, "labels", own, "choices");
    }
    return failed ? ERR_NOMEM : 0;
}

int manifest_texts_view(const struct manifest *manifest, const char *language, json_t **out_view,
                        struct err *err)
{
    const json_t *translations = json_object_get(manifest->document, "translations");
    json_t *view = json_deep_copy(manifest->view);
    int rc = view ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = apply(view, json_object_get(translations, "en"));
    if (rc == 0)
        rc = apply(view, json_object_get(translations, language));
    if (rc < 0) {
        json_decref(view);
        return err_set(err, rc, NULL, "no memory for the texts of a model");
    }
    json_object_del(view, "translations"); /* where there are any */
    *out_view = view;
    return 0;
}
