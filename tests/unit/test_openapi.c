/* SPDX-License-Identifier: MIT */
#include "dispatcher/openapi/openapi.h"

#include "common/err.h"
#include "common/manifest.h"
#include "dispatcher/compat/selfie2anime.h"
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
    RUN(foreign_routes_are_told_only_where_they_are_served);
    RUN(without_models_it_is_made_all_the_same);
    return check_report();
}
