/* SPDX-License-Identifier: MIT */
#include "dispatcher/openapi/openapi.h"

#include "common/err.h"
#include "dispatcher/http/problem.h"
#include "dispatcher/openapi/openapi_models.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Made by embed.c. */
extern const char openapi_operations_json[], openapi_components_json[], openapi_schemas_json[];

#define MAX_BYTES ((size_t)1024 * 1024)
#define MAX_DEPTH 24
#define MAX_NAME 64
#define DESCRIPTION                                                                                \
    "Hand in a picture, leave, and come back for the result; or wait for it, or be told by a "     \
    "webhook. Every refusal is a problem document (RFC 9457). Knowing an id lets nobody do "       \
    "anything: a job's tokens, or an API key of its account, do."

struct maker {
    const struct openapi_options *options;
    json_t *document;   /* owned */
    json_t *components; /* owned: the file */
    struct err *err;
    const char *row; /* the one that is worked on */
};

static int parse(const char *text, json_t **out)
{
    return json_parse(text, strlen(text),
                      (struct json_limits){.max_bytes = MAX_BYTES, .max_depth = MAX_DEPTH}, out,
                      NULL);
}

json_t *openapi_rows(void)
{
    json_t *rows = NULL;
    return parse(openapi_operations_json, &rows) == 0 ? rows : NULL;
}

/* ---- references ------------------------------------------------------------------------------ */

/* Takes `value`, which may be NULL for want of memory. */
static int put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0 ? 0 : ERR_NOMEM;
}

/* To a part of the document that is there. */
static int refer(const struct maker *maker, const char *kind, const char *name, json_t **out)
{
    char path[160];
    json_t *there = json_object_get(
        json_object_get(json_object_get(maker->document, "components"), kind), name);
    if (!there)
        return err_set(maker->err, ERR_CORRUPT, kind, "%s: there is no %s", maker->row, name);
    snprintf(path, sizeof path, "#/components/%s/%s", kind, name);
    *out = json_pack("{s:s}", "$ref", path);
    return *out ? 0 : ERR_NOMEM;
}

static int put_reference(const struct maker *maker, json_t *object, const char *member,
                         const char *kind, const char *name)
{
    json_t *reference = NULL;
    int rc = refer(maker, kind, name, &reference);
    return rc == 0 ? put(object, member, reference) : rc;
}

static int add_reference(const struct maker *maker, json_t *list, const char *kind,
                         const char *name)
{
    json_t *reference = NULL;
    int rc = refer(maker, kind, name, &reference);
    if (rc == 0 && json_array_append_new(list, reference) < 0)
        rc = ERR_NOMEM;
    return rc;
}

/* ---- one operation --------------------------------------------------------------------------- */

/* Those of the path, by their names, then the row's own. */
static int add_parameters(const struct maker *maker, const json_t *row, const char *path,
                          json_t *operation)
{
    static const char *const members[] = {"query", "headers"};
    json_t *list = json_array(), *name;
    int rc = list ? 0 : ERR_NOMEM;
    size_t i;
    for (const char *at = strchr(path, '{'); rc == 0 && at; at = strchr(at + 1, '{')) {
        char text[MAX_NAME];
        snprintf(text, sizeof text, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
        rc = add_reference(maker, list, "parameters", text);
    }
    for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
        json_array_foreach(json_object_get(row, members[m]), i, name)
        {
            if (rc == 0)
                rc = add_reference(maker, list, "parameters", json_string_value(name));
        }
    if (rc == 0 && json_array_size(list) > 0)
        rc = put(operation, "parameters", json_incref(list));
    json_decref(list);
    return rc;
}

static int add_content(const struct maker *maker, json_t *object, const char *type,
                       const char *schema)
{
    json_t *content = json_pack("{s:{}}", type);
    int rc = content
                 ? put_reference(maker, json_object_get(content, type), "schema", "schemas", schema)
                 : ERR_NOMEM;
    json_t *all = json_object_get(object, "content");
    if (rc == 0)
        rc = all ? json_object_update(all, content) ? ERR_NOMEM : 0
                 : put(object, "content", json_incref(content));
    json_decref(content);
    return rc;
}

static int add_body(const struct maker *maker, const json_t *row, json_t *operation)
{
    json_t *kinds = json_object_get(row, "body"), *schema;
    json_t *body = json_pack("{s:b}", "required", 1);
    const char *type;
    int rc = body ? 0 : ERR_NOMEM;
    json_object_foreach(kinds, type, schema)
    {
        if (rc == 0)
            rc = add_content(maker, body, type, json_string_value(schema));
    }
    if (rc == 0 && kinds)
        rc = put(operation, "requestBody", json_incref(body));
    json_decref(body);
    return rc;
}

static int add_headers(const struct maker *maker, const json_t *names, json_t *answer)
{
    json_t *headers = json_object(), *name;
    size_t i;
    int rc = headers ? 0 : ERR_NOMEM;
    json_array_foreach(names, i, name)
    {
        const char *key = json_string_value(name);
        const char *header = json_string_value(
            json_object_get(json_object_get(maker->components, "headerNames"), key));
        if (rc == 0 && !header)
            rc = err_set(maker->err, ERR_CORRUPT, "headers", "%s: no header %s", maker->row, key);
        if (rc == 0)
            rc = put_reference(maker, headers, header, "headers", key);
    }
    if (rc == 0 && names)
        rc = put(answer, "headers", json_incref(headers));
    json_decref(headers);
    return rc;
}

static int add_answer(const struct maker *maker, const char *status, const json_t *row,
                      json_t *answers)
{
    const char *schema = json_string_value(json_object_get(row, "schema"));
    json_t *types = json_object_get(row, "type"), *type; /* one or several; else JSON */
    size_t i;
    json_t *answer = json_pack("{s:O}", "description", json_object_get(row, "text"));
    int rc = answer ? add_headers(maker, json_object_get(row, "headers"), answer) : ERR_NOMEM;
    if (rc == 0 && schema && !json_is_array(types))
        rc = add_content(maker, answer, types ? json_string_value(types) : "application/json",
                         schema);
    json_array_foreach(types, i, type)
    {
        if (rc == 0)
            rc = add_content(maker, answer, json_string_value(type), schema);
    }
    if (rc == 0)
        rc = put(answers, status, json_incref(answer));
    json_decref(answer);
    return rc;
}

static int add_problems(const struct maker *maker, const json_t *statuses, json_t *answers)
{
    json_t *status;
    size_t i;
    int rc = 0;
    json_array_foreach(statuses, i, status)
    {
        char number[24], name[40];
        snprintf(number, sizeof number, "%d", (int)json_integer_value(status));
        snprintf(name, sizeof name, "Problem%s", number);
        if (rc == 0)
            rc = put_reference(maker, answers, number, "responses", name);
    }
    return rc;
}

static int add_answers(const struct maker *maker, const json_t *row, const json_t *right,
                       json_t *operation)
{
    json_t *answers = json_object(), *answer;
    const char *status;
    int rc = answers ? 0 : ERR_NOMEM;
    json_object_foreach(json_object_get(row, "answers"), status, answer)
    {
        if (rc == 0)
            rc = add_answer(maker, status, answer, answers);
    }
    if (rc == 0)
        rc = add_problems(maker, json_object_get(row, "problems"), answers);
    if (rc == 0)
        rc = add_problems(maker, json_object_get(right, "problems"), answers);
    if (rc == 0)
        rc = put_reference(maker, answers, "default", "responses", "Problem");
    if (rc == 0)
        rc = put(operation, "responses", json_incref(answers));
    json_decref(answers);
    return rc;
}

static int make_operation(const struct maker *maker, const json_t *row, const char *path,
                          json_t **out)
{
    const char *right = json_string_value(json_object_get(row, "right"));
    const json_t *rights =
        json_object_get(json_object_get(maker->components, "rights"), right ? right : "");
    if (!rights)
        return err_set(maker->err, ERR_CORRUPT, "right", "%s: no such right", maker->row);
    json_t *operation =
        json_pack("{s:O, s:[O], s:O, s:O}", "operationId", json_object_get(row, "id"), "tags",
                  json_object_get(row, "tag"), "summary", json_object_get(row, "summary"),
                  "security", json_object_get(rights, "security"));
    json_t *description = json_object_get(row, "description");
    int rc = operation
                 ? 0
                 : err_set(maker->err, ERR_CORRUPT, "id", "%s: no id, tag or summary", maker->row);
    if (rc == 0 && description)
        rc = put(operation, "description", json_incref(description));
    if (rc == 0)
        rc = add_parameters(maker, row, path, operation);
    if (rc == 0)
        rc = add_body(maker, row, operation);
    if (rc == 0)
        rc = add_answers(maker, row, rights, operation);
    if (rc == 0)
        *out = operation;
    else
        json_decref(operation);
    return rc;
}

/* `key` is "GET /v1/jobs/{id}". */
static int add_row(struct maker *maker, const char *key, const json_t *row)
{
    const char *compat = json_string_value(json_object_get(row, "compat"));
    const char *path = strchr(key, ' ');
    char method[8];
    maker->row = key;
    if (json_object_get(row, "page") ||
        (compat && (!maker->options->compat || strcmp(compat, maker->options->compat) != 0)))
        return 0;
    if (!path || (size_t)(path - key) >= sizeof method)
        return err_set(maker->err, ERR_CORRUPT, "row", "%s: not a method and a path", key);
    for (int i = 0; key + i <= path; i++)
        method[i] = (char)(key + i == path ? 0 : tolower((unsigned char)key[i]));
    json_t *operation = NULL, *paths = json_object_get(maker->document, "paths");
    int rc = make_operation(maker, row, path + 1, &operation);
    if (rc == 0 && !json_object_get(paths, path + 1))
        rc = put(paths, path + 1, json_object());
    if (rc == 0)
        rc = put(json_object_get(paths, path + 1), method, json_incref(operation));
    json_decref(operation);
    return rc;
}

/* ---- problems -------------------------------------------------------------------------------- */

/* One response for each status, with an example for each code that it stands for. */
static int add_problem_kind(const struct maker *maker, json_t *responses, enum problem_kind kind)
{
    struct problem_facts facts;
    char name[40], type[64];
    problem_describe(kind, &facts);
    snprintf(name, sizeof name, "Problem%u", facts.status);
    snprintf(type, sizeof type, "/problems/%s", facts.code);
    json_t *response = json_object_get(responses, name);
    if (!response) {
        response = json_pack("{s:s, s:{s:{s:{s:s}, s:{}}}}", "description", facts.title, "content",
                             "application/problem+json", "schema", "$ref",
                             "#/components/schemas/Problem", "examples");
        if (put(responses, name, response) < 0)
            return ERR_NOMEM;
    }
    if (facts.retry_after_s > 0 && !json_object_get(response, "headers") &&
        put(response, "headers",
            json_pack("{s:{s:s}}", "Retry-After", "$ref", "#/components/headers/RetryAfter")) < 0)
        return ERR_NOMEM;
    json_t *examples = json_object_get(
        json_object_get(json_object_get(response, "content"), "application/problem+json"),
        "examples");
    return put(examples, facts.code,
               json_pack("{s:{s:s, s:s, s:i}}", "value", "type", type, "title", facts.title,
                         "status", (int)facts.status));
}

static int add_problem_responses(const struct maker *maker)
{
    json_t *responses = json_pack("{s:{s:s, s:{s:{s:{s:s}}}}}", "Problem", "description",
                                  "Any other refusal.", "content", "application/problem+json",
                                  "schema", "$ref", "#/components/schemas/Problem");
    int rc = responses ? 0 : ERR_NOMEM;
    for (int kind = PROBLEM_MALFORMED; rc == 0 && kind <= PROBLEM_UNAVAILABLE; kind++)
        rc = add_problem_kind(maker, responses, (enum problem_kind)kind);
    if (rc == 0)
        rc = put(json_object_get(maker->document, "components"), "responses",
                 json_incref(responses));
    json_decref(responses);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int begin(struct maker *maker)
{
    json_t *schemas = NULL;
    int rc = parse(openapi_components_json, &maker->components);
    if (rc == 0)
        rc = parse(openapi_schemas_json, &schemas);
    if (rc < 0)
        return err_set(maker->err, rc, NULL, "the parts of the API's description cannot be read");
    json_t *parts = json_object_get(maker->components, "components");
    maker->document =
        json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:O, s:{}, s:O, s:O}",
                  "openapi", "3.1.0", "info", "title", "Darkroom", "version", "1", "summary",
                  "A photo lab for GPU models.", "description", DESCRIPTION, "license", "name",
                  "MIT", "identifier", "MIT", "servers", "url", maker->options->public_url, "tags",
                  json_object_get(maker->components, "tags"), "paths", "webhooks",
                  json_object_get(maker->components, "webhooks"), "components", parts);
    rc = maker->document ? put(parts, "schemas", json_incref(schemas)) : ERR_NOMEM;
    json_decref(schemas);
    if (rc == 0)
        rc = openapi_add_models(json_object_get(parts, "schemas"), maker->options->models);
    return rc == 0 ? add_problem_responses(maker) : rc;
}

int openapi_make(const struct openapi_options *options, json_t **out_document, struct err *err)
{
    struct maker maker = {.options = options, .err = err};
    json_t *rows = openapi_rows(), *row;
    const char *key;
    int rc = rows ? begin(&maker) : ERR_NOMEM;
    json_object_foreach(rows, key, row)
    {
        if (rc == 0)
            rc = add_row(&maker, key, row);
    }
    json_decref(rows);
    json_decref(maker.components);
    if (rc == 0)
        *out_document = maker.document;
    else
        json_decref(maker.document);
    return rc;
}
