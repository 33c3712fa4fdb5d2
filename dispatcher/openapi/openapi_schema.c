/* SPDX-License-Identifier: MIT */
#include "dispatcher/openapi/openapi_schema.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 6
#define MAX_MEMBERS 300
#define MAX_NAME 160
#define MAX_KIND 400

const json_t *openapi_resolve(const json_t *document, const json_t *item)
{
    const char *reference = json_string_value(json_object_get(item, "$ref"));
    const json_t *at = document;
    if (!reference)
        return item;
    for (reference += strcspn(reference, "/"); at && *reference == '/';) {
        char part[MAX_NAME];
        size_t size = strcspn(++reference, "/");
        snprintf(part, sizeof part, "%.*s", (int)size, reference);
        at = json_object_get(at, part);
        reference += size;
    }
    return at;
}

json_t *openapi_plain(const json_t *text)
{
    const char *from = json_string_value(text);
    struct buf out;
    buf_init(&out, 8192);
    for (; from && *from; from++)
        if (*from != '`' && *from != '*')
            buf_append(&out, from, 1);
    json_t *plain = json_string(buf_text(&out));
    buf_fini(&out);
    return plain;
}

/* ---- what a value may be --------------------------------------------------------------------- */

static void put_kind(const json_t *document, const json_t *schema, int depth, struct buf *out);

static void put_value(const json_t *value, struct buf *out)
{
    if (json_is_string(value))
        buf_append_text(out, json_string_value(value));
    else
        json_append(out, value, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void put_values(const json_t *values, struct buf *out)
{
    json_t *value;
    size_t i;
    json_array_foreach(values, i, value)
    {
        buf_append_text(out, i ? ", " : "");
        put_value(value, out);
    }
}

static void put_choices(const json_t *document, const json_t *choices, int depth, struct buf *out)
{
    json_t *choice;
    size_t i;
    json_array_foreach(choices, i, choice)
    {
        struct buf kind;
        buf_init(&kind, MAX_KIND);
        put_kind(document, choice, depth + 1, &kind);
        /* Two objects are told apart by their members, not here. */
        if (kind.size > 0 && !strstr(buf_text(out), buf_text(&kind)))
            buf_join(out, i ? " or " : "", buf_text(&kind), NULL);
        buf_fini(&kind);
    }
}

static const char *type_name(const char *type)
{
    return strcmp(type, "string") == 0 ? "text" : type;
}

static void put_types(const json_t *type, struct buf *out)
{
    json_t *one;
    size_t i;
    if (json_is_string(type))
        buf_append_text(out, type_name(json_string_value(type)));
    json_array_foreach(type, i, one)
    {
        buf_append_text(out, i ? " or " : "");
        buf_append_text(out, type_name(json_string_value(one)));
    }
}

static void put_range(const json_t *schema, struct buf *out)
{
    const json_t *least = json_object_get(schema, "minimum");
    const json_t *most = json_object_get(schema, "maximum");
    const json_t *initial = json_object_get(schema, "default");
    if (least) {
        buf_append_text(out, most ? ", " : ", at least ");
        put_value(least, out);
    }
    if (most) {
        buf_append_text(out, least ? " to " : ", at most ");
        put_value(most, out);
    }
    if (initial) {
        buf_append_text(out, "; else ");
        put_value(initial, out);
    }
}

static void put_kind(const json_t *document, const json_t *schema, int depth, struct buf *out)
{
    schema = openapi_resolve(document, schema);
    const json_t *type = json_object_get(schema, "type");
    const json_t *choices = json_object_get(schema, "oneOf");
    if (depth > MAX_DEPTH)
        return;
    if (json_object_get(schema, "const")) {
        put_value(json_object_get(schema, "const"), out);
    } else if (json_object_get(schema, "enum")) {
        put_values(json_object_get(schema, "enum"), out);
        put_range(schema, out);
    } else if (choices) {
        put_choices(document, choices, depth, out);
    } else if (json_is_string(type) && strcmp(json_string_value(type), "array") == 0) {
        buf_append_text(out, "list of ");
        put_kind(document, json_object_get(schema, "items"), depth + 1, out);
    } else {
        put_types(type, out);
        put_range(schema, out);
    }
}

json_t *openapi_kind(const json_t *document, const json_t *schema)
{
    struct buf text;
    buf_init(&text, MAX_KIND);
    put_kind(document, schema, 0, &text);
    json_t *kind = json_string(buf_text(&text));
    buf_fini(&text);
    return kind;
}

/* ---- members --------------------------------------------------------------------------------- */

/* Where the members of such a value are: in a list in its items, in a choice in the one object. */
static const json_t *inside(const json_t *document, const json_t *schema, const char **suffix)
{
    json_t *choice;
    size_t i;
    schema = openapi_resolve(document, schema);
    json_array_foreach(json_object_get(schema, "oneOf"), i, choice)
    {
        const json_t *one = openapi_resolve(document, choice);
        if (json_object_get(one, "properties"))
            return one;
    }
    if (json_object_get(schema, "items")) {
        *suffix = "[]";
        return openapi_resolve(document, json_object_get(schema, "items"));
    }
    return schema;
}

static bool is_required(const json_t *schema, const char *name)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(schema, "required"), i, item)
    {
        if (strcmp(json_string_value(item), name) == 0)
            return true;
    }
    return false;
}

void openapi_flatten(const json_t *document, const json_t *schema, const char *prefix,
                     bool required, int depth, json_t *members)
{
    const char *suffix = "", *name;
    const json_t *holder = inside(document, schema, &suffix);
    json_t *member;
    if (depth >= MAX_DEPTH)
        return;
    json_object_foreach(json_object_get(holder, "properties"), name, member)
    {
        char path[MAX_NAME];
        const json_t *told = json_object_get(member, "description");
        bool needed = is_required(holder, name);
        if (!told)
            told = json_object_get(openapi_resolve(document, member), "description");
        snprintf(path, sizeof path, "%s%s%s%s", prefix, suffix, *prefix || *suffix ? "." : "",
                 name);
        if (json_array_size(members) >= MAX_MEMBERS)
            return;
        json_array_append_new(members,
                              json_pack("{s:s, s:o, s:o, s:b}", "name", path, "kind",
                                        openapi_kind(document, member), "text", openapi_plain(told),
                                        "required", needed && required));
        openapi_flatten(document, member, path, needed && required, depth + 1, members);
    }
}

/* ---- an example ------------------------------------------------------------------------------ */

static json_t *example_object(const json_t *document, const json_t *schema, int depth)
{
    json_t *object = json_object(), *member;
    const char *name;
    json_object_foreach(json_object_get(schema, "properties"), name, member)
    {
        if (is_required(schema, name) ||
            json_object_get(openapi_resolve(document, member), "default"))
            json_object_set_new(object, name, openapi_example(document, member, depth + 1));
    }
    return object;
}

json_t *openapi_example(const json_t *document, const json_t *schema, int depth)
{
    static const char *const given[] = {"const", "default"};
    schema = openapi_resolve(document, schema);
    json_t *types = json_object_get(schema, "type");
    const char *type = json_string_value(json_is_array(types) ? json_array_get(types, 0) : types);
    json_t *value = json_array_get(json_object_get(schema, "examples"), 0);
    for (size_t i = 0; !value && i < sizeof given / sizeof given[0]; i++)
        value = json_object_get(schema, given[i]);
    if (!value)
        value = json_array_get(json_object_get(schema, "enum"), 0);
    if (value)
        return json_deep_copy(value);
    if (json_object_get(schema, "oneOf") && depth < MAX_DEPTH)
        return openapi_example(document, json_array_get(json_object_get(schema, "oneOf"), 0),
                               depth + 1);
    if (!type || depth >= MAX_DEPTH)
        return json_null();
    if (strcmp(type, "object") == 0)
        return example_object(document, schema, depth);
    if (strcmp(type, "array") == 0)
        return json_pack("[o]",
                         openapi_example(document, json_object_get(schema, "items"), depth + 1));
    json_t *least = json_object_get(schema, "minimum");
    if (least)
        return json_incref(least);
    if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0)
        return json_integer(1);
    if (strcmp(type, "boolean") == 0)
        return json_false();
    return json_string("");
}
