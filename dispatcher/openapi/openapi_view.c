/* SPDX-License-Identifier: MIT */
#include "dispatcher/openapi/openapi_view.h"

#include "dispatcher/openapi/openapi_schema.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define EXAMPLE_FLAGS (JSON_INDENT(2) | JSON_REAL_PRECISION(6))

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void upper(const char *method, char out[8])
{
    size_t i = 0;
    for (; method[i] && i < 7; i++)
        out[i] = (char)toupper((unsigned char)method[i]);
    out[i] = 0;
}

/* Calls for each operation of the document until one gives false. */
typedef bool visit_operation(void *context, const char *path, const char *method,
                             const json_t *operation);

static void each_operation(const json_t *document, visit_operation *visit, void *context)
{
    const char *path, *method;
    json_t *methods, *operation;
    json_object_foreach(json_object_get(document, "paths"), path, methods)
    {
        json_object_foreach(methods, method, operation)
        {
            if (!visit(context, path, method, operation))
                return;
        }
    }
}

/* ---- the list -------------------------------------------------------------------------------- */

struct listing {
    json_t *tags; /* of views */
};

static bool list_one(void *context, const char *path, const char *method, const json_t *operation)
{
    struct listing *listing = context;
    const char *tag = json_string_value(json_array_get(json_object_get(operation, "tags"), 0));
    char name[8];
    size_t i;
    json_t *view;
    upper(method, name);
    json_array_foreach(listing->tags, i, view)
    {
        if (tag && strcmp(text_of(view, "name"), tag) == 0)
            json_array_append_new(
                json_object_get(view, "operations"),
                json_pack("{s:s, s:s, s:s, s:s}", "id", text_of(operation, "operationId"), "method",
                          name, "path", path, "summary", text_of(operation, "summary")));
    }
    return true;
}

json_t *openapi_view_list(const json_t *document)
{
    struct listing listing = {.tags = json_array()};
    json_t *tag;
    size_t i;
    json_array_foreach(json_object_get(document, "tags"), i, tag)
    {
        json_array_append_new(listing.tags,
                              json_pack("{s:s, s:o, s:[]}", "name", text_of(tag, "name"), "text",
                                        openapi_plain(json_object_get(tag, "description")),
                                        "operations"));
    }
    each_operation(document, list_one, &listing);
    for (i = json_array_size(listing.tags); i-- > 0;)
        if (json_array_size(json_object_get(json_array_get(listing.tags, i), "operations")) == 0)
            json_array_remove(listing.tags, i);
    return listing.tags;
}

/* ---- one ------------------------------------------------------------------------------------- */

json_t *openapi_view_members(const json_t *document, const json_t *schema)
{
    json_t *members = json_array();
    openapi_flatten(document, schema, "", true, 0, members);
    return members;
}

static json_t *view_rights(const json_t *document, const json_t *operation)
{
    json_t *schemes = json_object_get(json_object_get(document, "components"), "securitySchemes");
    json_t *rights = json_array(), *choice, *scopes;
    const char *name;
    size_t i;
    json_array_foreach(json_object_get(operation, "security"), i, choice)
    {
        json_object_foreach(choice, name, scopes)
        {
            const char *scope = json_string_value(json_array_get(scopes, 0));
            json_array_append_new(
                rights,
                json_pack(
                    "{s:s, s:s, s:o, s:b}", "name", name, "scope", scope ? scope : "", "text",
                    openapi_plain(json_object_get(json_object_get(schemes, name), "description")),
                    "bearer",
                    strcmp(text_of(json_object_get(schemes, name), "type"), "http") == 0));
        }
    }
    return rights;
}

/* What the first example of a schema is; null where it has none. */
static json_t *first_example(const json_t *schema)
{
    json_t *example = json_array_get(json_object_get(schema, "examples"), 0);
    return example ? json_incref(example) : json_null();
}

static json_t *view_parameters(const json_t *document, const json_t *operation)
{
    json_t *list = json_array(), *item;
    size_t i;
    json_array_foreach(json_object_get(operation, "parameters"), i, item)
    {
        const json_t *parameter = openapi_resolve(document, item);
        const json_t *schema = openapi_resolve(document, json_object_get(parameter, "schema"));
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:b, s:o}", "name", text_of(parameter, "name"),
                            "in", text_of(parameter, "in"), "kind", openapi_kind(document, schema),
                            "text", openapi_plain(json_object_get(parameter, "description")),
                            "required", json_is_true(json_object_get(parameter, "required")),
                            "example", first_example(schema)));
    }
    return list;
}

/* One of several, or one alone. */
static json_t *view_shapes(const json_t *document, const json_t *schema)
{
    json_t *shapes = json_array(), *choice;
    const json_t *choices = json_object_get(openapi_resolve(document, schema), "oneOf");
    size_t i;
    json_array_foreach(choices, i, choice)
    {
        const json_t *one = openapi_resolve(document, choice);
        json_array_append_new(shapes, json_pack("{s:s, s:o, s:b}", "title", text_of(one, "title"),
                                                "members", openapi_view_members(document, one),
                                                "first", i == 0));
    }
    if (!choices)
        json_array_append_new(shapes,
                              json_pack("{s:s, s:o, s:b}", "title", "", "members",
                                        openapi_view_members(document, schema), "first", 1));
    return shapes;
}

static json_t *view_bodies(const json_t *document, const json_t *operation)
{
    json_t *bodies = json_array(), *content;
    const char *type;
    json_object_foreach(json_object_get(json_object_get(operation, "requestBody"), "content"), type,
                        content)
    {
        json_array_append_new(bodies,
                              json_pack("{s:s, s:o}", "type", type, "shapes",
                                        view_shapes(document, json_object_get(content, "schema"))));
    }
    return bodies;
}

/* The text of a JSON body that one could begin with; null where none is taken. */
static json_t *view_example(const json_t *document, const json_t *operation)
{
    const json_t *content = json_object_get(
        json_object_get(json_object_get(operation, "requestBody"), "content"), "application/json");
    json_t *example =
        content ? openapi_example(document, json_object_get(content, "schema"), 0) : NULL;
    struct buf text;
    buf_init(&text, 65536);
    json_t *view = example && json_append(&text, example, EXAMPLE_FLAGS) == 0
                       ? json_string(buf_text(&text))
                       : json_null();
    buf_fini(&text);
    json_decref(example);
    return view;
}

static json_t *view_headers(const json_t *document, const json_t *answer)
{
    json_t *list = json_array(), *item;
    const char *name;
    json_object_foreach(json_object_get(answer, "headers"), name, item)
    {
        json_array_append_new(
            list, json_pack("{s:s, s:o}", "name", name, "text",
                            openapi_plain(
                                json_object_get(openapi_resolve(document, item), "description"))));
    }
    return list;
}

static json_t *view_answer(const json_t *document, const char *status, const json_t *answer)
{
    json_t *content = json_object_get(answer, "content");
    const char *type = json_object_iter_key(json_object_iter(content));
    const json_t *schema = json_object_get(json_object_get(content, type ? type : ""), "schema");
    json_t *members = json_array();
    /* Every refusal has the same document, which stands at the end of the list. */
    if (type && (status[0] == '2' || strcmp(status, "default") == 0)) {
        json_decref(members);
        members = openapi_view_members(document, schema);
    }
    return json_pack("{s:s, s:o, s:o, s:s, s:o}", "status", status, "text",
                     openapi_plain(json_object_get(answer, "description")), "headers",
                     view_headers(document, answer), "type", type ? type : "", "members", members);
}

static json_t *view_answers(const json_t *document, const json_t *operation)
{
    json_t *list = json_array(), *answer;
    const char *status;
    json_object_foreach(json_object_get(operation, "responses"), status, answer)
    {
        json_array_append_new(list,
                              view_answer(document, status, openapi_resolve(document, answer)));
    }
    return list;
}

struct search {
    const json_t *document;
    const char *id;
    json_t *found;
};

static bool look_for(void *context, const char *path, const char *method, const json_t *operation)
{
    struct search *search = context;
    const json_t *document = search->document;
    char name[8];
    if (strcmp(text_of(operation, "operationId"), search->id) != 0)
        return true;
    upper(method, name);
    search->found = json_pack(
        "{s:s, s:s, s:s, s:O, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "id", search->id, "method", name,
        "path", path, "tag", json_array_get(json_object_get(operation, "tags"), 0), "summary",
        text_of(operation, "summary"), "text",
        openapi_plain(json_object_get(operation, "description")), "rights",
        view_rights(document, operation), "parameters", view_parameters(document, operation),
        "bodies", view_bodies(document, operation), "example", view_example(document, operation),
        "answers", view_answers(document, operation));
    return false;
}

json_t *openapi_view_operation(const json_t *document, const char *id)
{
    struct search search = {document, id, NULL};
    each_operation(document, look_for, &search);
    return search.found;
}
