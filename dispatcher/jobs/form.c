/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/form.h"

#include "common/err.h"
#include "dispatcher/http/multipart.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const names[] = {
    [FORM_INPUT] = "input",       [FORM_MODEL] = "model",     [FORM_CROP] = "crop",
    [FORM_PARAMS] = "params",     [FORM_EMAIL] = "email",     [FORM_WEBHOOK] = "webhook",
    [FORM_PRIORITY] = "priority", [FORM_RUN_AT] = "run_at",   [FORM_DEADLINE] = "deadline",
    [FORM_LANG] = "lang",         [FORM_CROP_OF] = "crop_of", [FORM_CROP_TOKEN] = "crop_token",
    [FORM_CONSENT] = "consent",   [FORM_KEY] = "key",         [FORM_PARAM] = "params"};
static const char param_prefix[] = "param.";
/* Parameters come one by one from a page; the model is in its path. */
static const unsigned of_page = 1u << FORM_INPUT | 1u << FORM_CROP | 1u << FORM_EMAIL |
                                1u << FORM_CROP_OF | 1u << FORM_CROP_TOKEN | 1u << FORM_CONSENT |
                                1u << FORM_KEY;
static const unsigned of_api = (1u << FORM_CONSENT) - 1;

const char *form_field_name(enum form_field field)
{
    return names[field];
}

static int on_param(struct form *form, const char *name, struct err *err)
{
    size_t size = strlen(name);
    if (size == 0 || size >= sizeof form->param_name || json_object_get(form->params, name))
        return err_set(err, ERR_INVALID, "params", "a parameter without a name, or given twice");
    memcpy(form->param_name, name, size + 1);
    buf_clear(&form->fields[FORM_PARAM]);
    form->current = FORM_PARAM;
    return 0;
}

static int on_part(void *context, const char *name, struct err *err)
{
    struct form *form = context;
    size_t prefix = strlen(param_prefix);
    if (form->is_page && strncmp(name, param_prefix, prefix) == 0)
        return on_param(form, name + prefix, err);
    for (int i = 0; i < FORM_PARAM; i++) {
        if (strcmp(names[i], name) != 0 || !((form->is_page ? of_page : of_api) >> i & 1))
            continue;
        if (form->present[i])
            return err_set(err, ERR_INVALID, name, "%s is given twice", name);
        form->present[i] = true;
        form->current = (enum form_field)i;
        return 0;
    }
    return err_set(err, ERR_INVALID, name, "there is no such member");
}

static int on_data(void *context, const void *data, size_t size, struct err *err)
{
    struct form *form = context;
    int rc = buf_append(&form->fields[form->current], data, size);
    if (rc == ERR_LIMIT)
        return err_set(err, rc, names[form->current], "%s is longer than %zu bytes",
                       names[form->current], form->fields[form->current].max_size);
    return rc < 0 ? err_set(err, rc, NULL, "no memory for a form") : 0;
}

static int on_end(void *context, struct err *err)
{
    struct form *form = context;
    const struct buf *text = &form->fields[FORM_PARAM];
    if (form->current != FORM_PARAM)
        return 0;
    json_t *value = json_stringn(text->size ? (const char *)text->data : "", text->size);
    if (!value)
        return err_set(err, ERR_INVALID, "params", "a parameter is no text in UTF-8");
    if (json_object_set_new(form->params, form->param_name, value) < 0)
        return err_set(err, ERR_INVALID, "params", "a parameter's name is no text in UTF-8");
    return 0;
}

static bool type_is(const char *content_type, const char *type)
{
    size_t size = strlen(type);
    return content_type && strncasecmp(content_type, type, size) == 0 &&
           (content_type[size] == 0 || strchr("; \t", content_type[size]));
}

int form_create(const char *content_type, size_t max_bytes, bool is_page, struct form **out,
                struct err *err)
{
    struct form *form = calloc(1, sizeof *form);
    if (!form)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a form");
    form->is_page = is_page;
    form->is_json = !is_page && type_is(content_type, "application/json");
    buf_init(&form->json, max_bytes);
    for (int i = 0; i < FORM_FIELD_COUNT; i++)
        buf_init(&form->fields[i], i == FORM_INPUT ? max_bytes : FORM_MAX_TEXT);
    struct multipart_sink sink = {form, on_part, on_data, on_end};
    int rc = form->is_json ? 0 : multipart_create(content_type, &sink, &form->parser, err);
    if (rc == 0 && is_page && !(form->params = json_object()))
        rc = err_set(err, ERR_NOMEM, NULL, "no memory for a form");
    if (rc < 0) {
        form_destroy(&form);
        return rc;
    }
    *out = form;
    return 0;
}

void form_destroy(struct form **slot)
{
    struct form *form = *slot;
    *slot = NULL;
    if (!form)
        return;
    multipart_destroy(&form->parser);
    json_decref(form->params);
    buf_fini(&form->json);
    for (int i = 0; i < FORM_FIELD_COUNT; i++)
        buf_fini(&form->fields[i]);
    free(form);
}

int form_feed(struct form *form, const void *data, size_t size, struct err *err)
{
    if (!form->is_json)
        return multipart_feed(form->parser, data, size, err);
    int rc = buf_append(&form->json, data, size);
    return rc < 0 ? err_set(err, rc, NULL, "no room for the body") : 0;
}

int form_finish(struct form *form, struct err *err)
{
    return form->is_json ? 0 : multipart_finish(form->parser, err);
}

size_t form_bytes(const struct form *form)
{
    size_t bytes = form->json.size;
    for (int i = 0; i < FORM_FIELD_COUNT; i++)
        bytes += form->fields[i].size;
    return bytes;
}
