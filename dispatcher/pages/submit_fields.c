/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/submit_fields.h"

#include "common/crypto.h"
#include "common/params.h"

#include <math.h>
#include <string.h>

/* More steps than that cannot be told apart on a telephone's slider. */
#define MAX_SLIDER_STEPS 1000
#define TEXT_SIZE 40

/* A value as a form shows it: texts bare, the rest as JSON. */
static json_t *text_of(const json_t *value)
{
    if (json_is_string(value))
        return json_string(json_string_value(value));
    char *dump =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_t *text = dump ? json_string(dump) : NULL;
    free(dump);
    return text;
}

json_t *submit_fields_typed(const json_t *params)
{
    json_t *typed = json_object(), *value;
    const char *name;
    json_object_foreach((json_t *)params, name, value) if (!json_is_false(value))
        json_object_set_new(typed, name, text_of(value));
    return typed;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static json_t *random_seed(const json_t *property)
{
    json_int_t min = json_integer_value(json_object_get(property, "minimum"));
    json_int_t max = json_integer_value(json_object_get(property, "maximum"));
    uint64_t number = 0, span = (uint64_t)max - (uint64_t)min + 1;
    if (crypto_random(&number, sizeof number) < 0)
        return NULL;
    return json_integer((json_int_t)((uint64_t)min + (span ? number % span : number)));
}

/* What stands in the field: what was typed, else the default, else nothing. */
static json_t *value_of(const char *name, const json_t *property, const json_t *typed)
{
    const json_t *given = json_object_get(typed, name);
    if (given || typed)
        return json_deep_copy(given);
    json_t *text, *seed = NULL;
    if (strcmp(name, "seed") == 0 && params_has_type(property, "integer"))
        seed = random_seed(property);
    text = text_of(seed ? seed : json_object_get(property, "default"));
    json_decref(seed);
    return text;
}

static json_t *options_of(const json_t *property, const char *value)
{
    const json_t *choices = json_object_get(property, "enum");
    const json_t *labels = json_object_get(property, "labels");
    json_t *options = json_array();
    for (size_t i = 0; i < json_array_size(choices); i++) {
        json_t *text = text_of(json_array_get(choices, i));
        const char *shown = json_string_value(text), *label;
        label = shown ? json_string_value(json_object_get(labels, shown)) : NULL;
        json_array_append_new(options, json_pack("{s:s?, s:s?, s:b}", "value", shown, "label",
                                                 label ? label : shown, "selected",
                                                 shown && value && strcmp(shown, value) == 0));
        json_decref(text);
    }
    return options;
}

/* A round step, of which a range has 50 to 500. */
static double step_of(double min, double max)
{
    return max > min ? pow(10, floor(log10((max - min) / 50))) : 1;
}

static void describe_number(json_t *field, const json_t *property, const char *name)
{
    const json_t *minimum = json_object_get(property, "minimum");
    const json_t *maximum = json_object_get(property, "maximum");
    double min = json_number_value(minimum), max = json_number_value(maximum);
    bool whole = params_has_type(property, "integer"), seed = whole && strcmp(name, "seed") == 0;
    const char *kind = seed ? "seed" : whole && max - min > MAX_SLIDER_STEPS ? "number" : "slider";
    json_t *step = whole ? json_integer(1) : json_real(step_of(min, max));
    json_object_set_new(field, "min", text_of(minimum));
    json_object_set_new(field, "max", text_of(maximum));
    json_object_set_new(field, "step", text_of(step));
    json_object_set_new(field, kind, json_true());
    json_decref(step);
}

static void describe_kind(json_t *field, const json_t *property, const char *name)
{
    const char *value = json_string_value(json_object_get(field, "value"));
    if (json_object_get(property, "enum")) {
        json_object_set_new(field, "options", options_of(property, value));
        json_object_set_new(field, "select", json_true());
    } else if (params_has_type(property, "boolean")) {
        json_object_set_new(field, "checked", json_boolean(value && strcmp(value, "true") == 0));
        json_object_set_new(field, "check", json_true());
    } else if (params_has_type(property, "string")) {
        json_object_set_new(field, "max_length", text_of(json_object_get(property, "maxLength")));
        json_object_set_new(field, "pattern", text_of(json_object_get(property, "pattern")));
        json_object_set_new(field, "text", json_true());
    } else {
        describe_number(field, property, name);
    }
}

json_t *submit_fields_view(const json_t *view, const json_t *typed)
{
    const json_t *schema = json_object_get(view, "params");
    json_t *properties = json_object_get(schema, "properties"), *property, *fields = json_array();
    const char *name;
    json_object_foreach(properties, name, property)
    {
        const char *title = json_string_value(json_object_get(property, "title"));
        json_t *field = json_pack("{s:s, s:s, s:s*, s:b, s:s?, s:o*, s:n}", "name", name, "title",
                                  title ? title : name, "description",
                                  json_string_value(json_object_get(property, "description")),
                                  "required", params_is_required(schema, name), "type",
                                  json_string_value(json_object_get(property, "type")), "value",
                                  value_of(name, property, typed), "problem");
        if (field)
            describe_kind(field, property, name);
        json_array_append_new(fields, field);
    }
    return fields;
}

/* ---- what was sent --------------------------------------------------------------------------- */

/* One of the choices, which need not be texts. */
static json_t *choice_of(const json_t *property, const json_t *text)
{
    const json_t *choices = json_object_get(property, "enum");
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(choices) && !found; i++) {
        json_t *shown = text_of(json_array_get(choices, i));
        if (json_equal(shown, text))
            found = json_deep_copy(json_array_get(choices, i));
        json_decref(shown);
    }
    return found;
}

static json_t *typed_value(const json_t *property, const json_t *text)
{
    json_t *value = choice_of(property, text);
    if (value || params_has_type(property, "string"))
        return value ? value : json_deep_copy(text);
    value = json_loads(json_string_value(text), JSON_DECODE_ANY, NULL);
    if (json_is_number(value) || json_is_boolean(value))
        return value;
    json_decref(value);
    return json_deep_copy(text);
}

json_t *submit_fields_read(const json_t *schema, const json_t *typed)
{
    json_t *properties = json_object_get(schema, "properties"), *property;
    json_t *params = json_object(), *text, *copy = json_deep_copy(typed);
    const char *name;
    json_object_foreach(properties, name, property) if (params_has_type(property, "boolean") &&
                                                        !json_object_get(property, "enum") &&
                                                        !json_object_get(copy, name))
        json_object_set_new(params, name, json_false());
    /* Names that the schema does not have go along, to be refused with it. */
    json_object_foreach(copy, name, text)
    {
        property = json_object_get(properties, name);
        if (json_string_length(text) > 0)
            json_object_set_new(params, name, typed_value(property, text));
    }
    json_decref(copy);
    return params;
}
