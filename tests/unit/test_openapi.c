/* SPDX-License-Identifier: MIT */
#include "dispatcher/openapi/openapi.h"

#include "common/err.h"
#include "common/manifest.h"
#include "dispatcher/compat/selfie2anime.h"
#include "dispatcher/openapi/openapi_view.h"
#include "dispatcher/routes.h"
#include "tests/unit/check.h"

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};

static json_t *make(void)
{
    struct manifest_set models = {0};
    struct err err = {0};
    json_t *document = NULL;
    const char *folder = getenv("DARKROOM_MODELS");
    CHECK_INT(manifest_set_load(folder ? folder : "models", &models, &err), 0);
    int rc = openapi_make(
        &(struct openapi_options){.models = &models, .public_url = "https://lab.example"},
        &document, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    manifest_set_fini(&models);
    return document;
}

/* "GET /v1/jobs/{id}" as the router's pattern: "/v1/jobs/{}"; true where it stands for `route`. */
static bool row_is(const char *key, const struct route *route, unsigned method)
{
    const char *pattern = route->pattern, *path = key + strlen(methods[method]);
    if (strncmp(key, methods[method], strlen(methods[method])) != 0 || *path++ != ' ')
        return false;
    while (*pattern && *path) {
        if (*pattern == '{' && *path == '{') {
            pattern = strchr(pattern, '}');
            path = strchr(path, '}');
        }
        if (*pattern++ != *path++)
            return false;
    }
    return *pattern == *path;
}

#define METHODS (sizeof methods / sizeof methods[0])

static const struct {
    const struct route *routes;
    const size_t *count;
    const char *compat;
} tables[] = {{routes, &route_count, ""},
              {selfie2anime_routes, &selfie2anime_route_count, "selfie2anime"}};

static const char *compat_of(const json_t *row)
{
    const char *compat = json_string_value(json_object_get(row, "compat"));
    return compat ? compat : "";
}

/* OPTIONS is for browsers, and described nowhere. */
static int count_missing_rows(const struct route *route, const char *compat)
{
    json_t *rows = openapi_rows(), *row;
    const char *key;
    int missing = 0;
    CHECK(rows);
    for (unsigned method = 0; method < METHODS; method++) {
        bool found = method == METHOD_OPTIONS || !(route->methods & 1u << method);
        json_object_foreach(rows, key, row)
        {
            found |= row_is(key, route, method) && strcmp(compat_of(row), compat) == 0;
        }
        if (!found)
            printf("# describe it in dispatcher/openapi/operations.json: %s %s\n", methods[method],
                   route->pattern);
        missing += !found;
    }
    json_decref(rows);
    return missing;
}

static void every_route_has_a_row(void)
{
    int missing = 0;
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (size_t i = 0; i < *tables[t].count; i++)
            missing += count_missing_rows(&tables[t].routes[i], tables[t].compat);
    CHECK_INT(missing, 0);
}

static void every_row_has_a_route(void)
{
    json_t *rows = openapi_rows(), *row;
    const char *key;
    int missing = 0;
    json_object_foreach(rows, key, row)
    {
        bool found = false;
        for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
            for (size_t i = 0; i < *tables[t].count; i++)
                for (unsigned method = 0; method < METHODS; method++)
                    found |= strcmp(compat_of(row), tables[t].compat) == 0 &&
                             tables[t].routes[i].methods & 1u << method &&
                             row_is(key, &tables[t].routes[i], method);
        if (!found)
            printf("# operations.json describes what is not there: %s\n", key);
        missing += !found;
    }
    json_decref(rows);
    CHECK_INT(missing, 0);
}

/* Follows "#/components/schemas/Job". */
static bool resolves(json_t *document, const char *reference)
{
    char part[80];
    json_t *at = document;
    for (reference++; at && *reference == '/'; reference += strcspn(reference, "/")) {
        snprintf(part, sizeof part, "%.*s", (int)strcspn(reference + 1, "/"), reference + 1);
        at = json_object_get(at, part);
        reference++;
    }
    return at != NULL;
}

static int count_broken(json_t *document, json_t *value)
{
    const char *key, *reference = json_string_value(json_object_get(value, "$ref"));
    json_t *item;
    size_t i;
    int broken = reference && !resolves(document, reference);
    if (broken)
        printf("# leads nowhere: %s\n", reference);
    json_object_foreach(value, key, item) broken += count_broken(document, item);
    json_array_foreach(value, i, item) broken += count_broken(document, item);
    return broken;
}

static void every_reference_leads_somewhere(void)
{
    json_t *document = make();
    CHECK_TEXT(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    CHECK_INT(count_broken(document, document), 0);
    json_decref(document);
}

static void each_models_parameters_are_there(void)
{
    json_t *document = make();
    json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    json_t *submission = json_object_get(schemas, "Submission.portrait-drawing");
    CHECK(json_object_get(schemas, "Params.portrait-drawing"));
    CHECK(resolves(document, "#/components/schemas/Submission.portrait-drawing/properties/input"));
    CHECK_TEXT(json_string_value(json_object_get(
                   json_object_get(json_object_get(submission, "properties"), "model"), "const")),
               "portrait-drawing");
    CHECK(json_object_get(json_object_get(schemas, "Submission"), "oneOf"));
    json_decref(document);
}

static const json_t *member(const json_t *members, const char *name)
{
    json_t *one;
    size_t i;
    json_array_foreach(members, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
            return one;
    }
    return NULL;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "(none)";
}

static void an_operation_is_told_in_words(void)
{
    json_t *document = make();
    json_t *view = openapi_view_operation(document, "submitJob");
    CHECK_TEXT(text_of(view, "method"), "POST");
    CHECK_TEXT(text_of(view, "path"), "/v1/jobs");
    json_t *body = json_array_get(json_object_get(view, "bodies"), 0);
    json_t *shape = json_array_get(json_object_get(body, "shapes"), 0);
    const json_t *members = json_object_get(shape, "members");
    CHECK_TEXT(text_of(shape, "title"), "Portrait to drawing");
    CHECK_TEXT(text_of(member(members, "model"), "kind"), "portrait-drawing");
    CHECK_TEXT(text_of(member(members, "crop.x"), "kind"), "integer, at least 0");
    CHECK(json_is_true(json_object_get(member(members, "model"), "required")));
    CHECK(json_is_false(json_object_get(member(members, "crop.x"), "required")));
    CHECK(strstr(text_of(view, "example"), "\"model\": \"portrait-drawing\""));
    json_decref(view);
    CHECK(!openapi_view_operation(document, "nothing"));
    json_decref(document);
}

static void every_operation_is_listed_once_and_can_be_told(void)
{
    json_t *document = make(), *tags = openapi_view_list(document), *tag, *operation;
    size_t i, j, count = 0;
    json_array_foreach(tags, i, tag)
    {
        json_array_foreach(json_object_get(tag, "operations"), j, operation)
        {
            json_t *view = openapi_view_operation(document, text_of(operation, "id"));
            CHECK(view);
            CHECK(json_array_size(json_object_get(view, "answers")) > 0);
            json_decref(view);
            count++;
        }
    }
    CHECK(count > 30);
    json_decref(tags);
    json_decref(document);
}

/* A schema that holds itself ends somewhere. */
static void what_refers_to_itself_is_told_to_a_depth(void)
{
    json_t *document =
        json_pack("{s:{s:{s:{s:s, s:{s:{s:s}}}}}}", "components", "schemas", "Tree", "type",
                  "object", "properties", "child", "$ref", "#/components/schemas/Tree");
    json_t *schema = json_pack("{s:s}", "$ref", "#/components/schemas/Tree");
    json_t *members = openapi_view_members(document, schema);
    CHECK(json_array_size(members) > 2 && json_array_size(members) < 20);
    json_decref(members);
    json_decref(schema);
    json_decref(document);
}

static void foreign_routes_are_told_only_where_they_are_served(void)
{
    struct manifest_set none = {0};
    json_t *with = NULL, *without = make();
    const struct openapi_options options = {
        .models = &none, .public_url = "http://x", .compat = "selfie2anime"};
    CHECK_INT(openapi_make(&options, &with, NULL), 0);
    CHECK(json_object_get(json_object_get(with, "paths"), "/analysis/selfie"));
    CHECK(!json_object_get(json_object_get(without, "paths"), "/analysis/selfie"));
    CHECK_INT(count_broken(with, with), 0);
    json_decref(with);
    json_decref(without);
}

static void without_models_it_is_made_all_the_same(void)
{
    struct manifest_set none = {0};
    json_t *document = NULL;
    CHECK_INT(openapi_make(&(struct openapi_options){.models = &none, .public_url = "http://x"},
                           &document, NULL),
              0);
    CHECK_INT(count_broken(document, document), 0);
    json_decref(document);
}

int main(void)
{
    RUN(every_route_has_a_row);
    RUN(every_row_has_a_route);
    RUN(every_reference_leads_somewhere);
    RUN(each_models_parameters_are_there);
    RUN(an_operation_is_told_in_words);
    RUN(every_operation_is_listed_once_and_can_be_told);
    RUN(what_refers_to_itself_is_told_to_a_depth);
    RUN(foreign_routes_are_told_only_where_they_are_served);
    RUN(without_models_it_is_made_all_the_same);
    return check_report();
}
