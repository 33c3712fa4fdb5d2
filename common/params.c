/* SPDX-License-Identifier: MIT */
#include "common/params.h"

#include "common/err.h"

#include <regex.h>
#include <string.h>

/* Iterating changes nothing, but jansson's iterators are not const. */
static json_t *unconst(const json_t *value)
{
    return (json_t *)(uintptr_t)value;
}

static bool name_is_valid(const char *name)
{
    size_t length = strlen(name);
    return length >= 1 && length <= PARAMS_MAX_NAME && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

static const char *type_of(const json_t *property)
{
    const char *type = json_string_value(json_object_get(property, "type"));
    return type ? type : "";
}

bool params_has_type(const json_t *property, const char *type)
{
    return strcmp(type_of(property), type) == 0;
}

/* JSON Schema counts characters; in UTF-8 every byte but 10xxxxxx begins one. There are no more of
 * them than bytes. */
static bool is_longer(const json_t *text, int64_t max)
{
    int64_t count = 0;
    if ((int64_t)json_string_length(text) <= max)
        return false;
    for (const char *c = json_string_value(text); *c; c++)
        count += ((unsigned char)*c & 0xc0) != 0x80;
    return count > max;
}

static int check_number(const json_t *property, const char *field, bool whole, const json_t *value,
                        struct err *err)
{
    if (whole ? !json_is_integer(value) : !json_is_number(value))
        return err_set(err, ERR_INVALID, field, "%s must be %s", field,
                       whole ? "an integer" : "a number");
    double minimum = json_number_value(json_object_get(property, "minimum"));
    double maximum = json_number_value(json_object_get(property, "maximum"));
    double number = json_number_value(value);
    if (!(number >= minimum && number <= maximum))
        return err_set(err, ERR_INVALID, field, "%s is %.15g, not within %.15g to %.15g", field,
                       number, minimum, maximum);
    return 0;
}

/* ERR_INVALID also where the pattern itself is none, which check_property() has excluded. */
static int check_pattern(const json_t *property, const char *field, const json_t *value,
                         struct err *err)
{
    const char *pattern = json_string_value(json_object_get(property, "pattern"));
    regex_t compiled;
    if (!pattern)
        return 0;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return err_set(err, ERR_INVALID, field, "%s has a pattern that is none", field);
    int status = regexec(&compiled, json_string_value(value), 0, NULL, 0);
    regfree(&compiled);
    if (status != 0)
        return err_set(err, ERR_INVALID, field, "%s must match %s", field, pattern);
    return 0;
}

static int check_string(const json_t *property, const char *field, const json_t *value,
                        struct err *err)
{
    if (!json_is_string(value))
        return err_set(err, ERR_INVALID, field, "%s must be a text", field);
    if (!json_text_is_clean(json_string_value(value), json_string_length(value)))
        return err_set(err, ERR_INVALID, field, "%s holds a control character", field);
    const json_t *max_length = json_object_get(property, "maxLength");
    if (max_length && is_longer(value, json_integer_value(max_length)))
        return err_set(err, ERR_INVALID, field,
                       "%s is longer than %" JSON_INTEGER_FORMAT " characters", field,
                       json_integer_value(max_length));
    return check_pattern(property, field, value, err);
}

static int check_choice(const json_t *property, const char *field, const json_t *value,
                        struct err *err)
{
    const json_t *choices = json_object_get(property, "enum");
    if (!choices)
        return 0;
    for (size_t i = 0; i < json_array_size(choices); i++)
        if (json_equal(json_array_get(choices, i), value))
            return 0;
    /* The choices come from the manifest, so they may be shown. */
    char *text = json_dumps(choices, JSON_COMPACT);
    err_set(err, ERR_INVALID, field, "%s must be one of %s", field, text ? text : "its choices");
    free(text);
    return ERR_INVALID;
}

static int check_value(const json_t *property, const char *field, const json_t *value,
                       struct err *err)
{
    const char *type = type_of(property);
    int rc = 0;
    if (strcmp(type, "boolean") == 0)
        rc = json_is_boolean(value)
                 ? 0
                 : err_set(err, ERR_INVALID, field, "%s must be true or false", field);
    else if (strcmp(type, "string") == 0)
        rc = check_string(property, field, value, err);
    else
        rc = check_number(property, field, strcmp(type, "integer") == 0, value, err);
    return rc < 0 ? rc : check_choice(property, field, value, err);
}

static int check_range(const json_t *property, const char *field, struct err *err)
{
    const json_t *minimum = json_object_get(property, "minimum");
    const json_t *maximum = json_object_get(property, "maximum");
    bool whole = params_has_type(property, "integer");
    bool numbers = whole ? json_is_integer(minimum) && json_is_integer(maximum)
                         : json_is_number(minimum) && json_is_number(maximum);
    if (!numbers || json_number_value(minimum) > json_number_value(maximum))
        return err_set(err, ERR_INVALID, field, "%s needs minimum and maximum in this order",
                       field);
    return 0;
}

/* Each choice is checked as if it were given, before `enum` itself may be consulted. */
static int check_choices(const json_t *property, const char *field, struct err *err)
{
    json_t *choices = json_object_get(property, "enum");
    if (!choices)
        return 0;
    size_t count = json_array_size(choices);
    if (count < 1 || count > PARAMS_MAX_CHOICES)
        return err_set(err, ERR_INVALID, field, "%s needs an enum of 1 to %d choices", field,
                       PARAMS_MAX_CHOICES);
    for (size_t i = 0; i < count; i++) {
        int rc = check_value(property, field, json_array_get(choices, i), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Whole texts only, as a pattern that isn't anchored would let anything through around it. */
static int check_own_pattern(const json_t *property, const char *field, struct err *err)
{
    const char *pattern = NULL;
    regex_t compiled;
    int rc = json_opt_text(property, "pattern", PARAMS_MAX_PATTERN, &pattern, err);
    if (rc < 0 || !pattern)
        return rc;
    size_t length = strlen(pattern);
    if (length < 2 || pattern[0] != '^' || pattern[length - 1] != '$' ||
        regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return err_set(err, ERR_INVALID, field,
                       "%s needs a pattern that is an extended regular expression from ^ to $",
                       field);
    regfree(&compiled);
    return 0;
}

static int check_property(const json_t *property, const char *field, struct err *err)
{
    static const char *const numeric[] = {"type",    "title",   "description", "default",
                                          "minimum", "maximum", "enum",        NULL};
    static const char *const string[] = {"type",      "title", "description", "default",
                                         "maxLength", "enum",  "pattern",     NULL};
    static const char *const boolean[] = {"type", "title", "description", "default", NULL};
    bool is_string = params_has_type(property, "string"),
         is_boolean = params_has_type(property, "boolean");
    if (!is_string && !is_boolean && !params_has_type(property, "integer") &&
        !params_has_type(property, "number"))
        return err_set(err, ERR_INVALID, field,
                       "%s needs a type: integer, number, string or boolean", field);
    const char *text;
    int64_t max_length = 0;
    int rc = json_check_members(property, field,
                                is_string    ? string
                                : is_boolean ? boolean
                                             : numeric,
                                err);
    if (rc == 0)
        rc = json_opt_text(property, "title", PARAMS_MAX_TITLE, &text, err);
    if (rc == 0)
        rc = json_opt_text(property, "description", PARAMS_MAX_DESCRIPTION, &text, err);
    if (rc == 0 && is_string)
        rc = json_opt_int(property, "maxLength", 1, PARAMS_MAX_TEXT, &max_length, err);
    if (rc == 0 && is_string && !max_length && !json_object_get(property, "enum"))
        rc = err_set(err, ERR_INVALID, field, "%s needs maxLength or enum", field);
    if (rc == 0 && is_string)
        rc = check_own_pattern(property, field, err);
    if (rc == 0 && !is_string && !is_boolean)
        rc = check_range(property, field, err);
    if (rc == 0)
        rc = check_choices(property, field, err);
    const json_t *value = json_object_get(property, "default");
    if (rc == 0 && value)
        rc = check_value(property, field, value, err);
    return rc;
}

static int check_required(const json_t *schema, const json_t *properties, struct err *err)
{
    json_t *required = NULL;
    int rc = json_opt_array(schema, "params.required", PARAMS_MAX_PROPERTIES, &required, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (!name || !json_object_get(properties, name))
            rc = err_set(err, ERR_INVALID, "params.required", "params.required names no property");
    }
    return rc;
}

int params_check_schema(const json_t *schema, struct err *err)
{
    static const char *const members[] = {"type", "properties", "required", "additionalProperties",
                                          NULL};
    json_t *properties = NULL;
    int rc = json_check_members(schema, "params", members, err);
    if (rc == 0)
        rc = json_get_object(schema, "params.properties", &properties, err);
    if (rc < 0)
        return rc;
    if (!params_has_type(schema, "object"))
        return err_set(err, ERR_INVALID, "params.type", "params.type must be \"object\"");
    const json_t *additional = json_object_get(schema, "additionalProperties");
    if (additional && !json_is_false(additional))
        return err_set(err, ERR_INVALID, "params.additionalProperties",
                       "params.additionalProperties must be false");
    if (json_object_size(properties) > PARAMS_MAX_PROPERTIES)
        return err_set(err, ERR_LIMIT, "params.properties", "more than %d parameters",
                       PARAMS_MAX_PROPERTIES);
    for (void *it = json_object_iter(properties); it; it = json_object_iter_next(properties, it)) {
        const char *name = json_object_iter_key(it);
        if (!name_is_valid(name))
            return err_set(err, ERR_INVALID, "params.properties",
                           "a parameter's name must be [a-z][a-z0-9_]*, %d characters at most",
                           PARAMS_MAX_NAME);
        char field[64];
        snprintf(field, sizeof field, "params.%s", name);
        rc = check_property(json_object_iter_value(it), field, err);
        if (rc < 0)
            return rc;
    }
    return check_required(schema, properties, err);
}

bool params_is_required(const json_t *schema, const char *name)
{
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++)
        if (strcmp(json_string_value(json_array_get(required, i)), name) == 0)
            return true;
    return false;
}

static int check_known(const json_t *properties, const json_t *given, struct err *err)
{
    if (given && !json_is_object(given))
        return err_set(err, ERR_INVALID, "params", "params must be an object");
    for (void *it = json_object_iter(unconst(given)); it;
         it = json_object_iter_next(unconst(given), it)) {
        const char *name = json_object_iter_key(it);
        if (json_object_get(properties, name))
            continue;
        char field[64];
        snprintf(field, sizeof field, "params%s%s", name_is_valid(name) ? "." : "",
                 name_is_valid(name) ? name : "");
        return err_set(err, ERR_INVALID, field, "this model has no parameter \"%.40s\"", name);
    }
    return 0;
}

/* A default is copied, so that no value is shared with the schema, which other threads read. */
static int apply_property(const json_t *schema, const char *name, const json_t *property,
                          const json_t *given, json_t *result, struct err *err)
{
    char field[sizeof "params." + PARAMS_MAX_NAME] = "params.";
    memcpy(field + strlen(field), name, strlen(name) + 1); /* the schema's: checked */
    json_t *value = json_object_get(given, name);
    const json_t *standard = value ? NULL : json_object_get(property, "default");
    if (value) {
        int rc = check_value(property, field, value, err);
        if (rc < 0)
            return rc;
        json_incref(value);
    } else if (params_is_required(schema, name)) {
        return err_set(err, ERR_INVALID, field, "%s is required", field);
    } else if (standard) {
        value = json_deep_copy(standard);
    }
    if ((value || standard) && json_object_set_new_nocheck(result, name, value) < 0)
        return err_set(err, ERR_NOMEM, field, "no memory for a parameter");
    return 0;
}

int params_apply_schema(const json_t *schema, const json_t *given, json_t **out_params,
                        struct err *err)
{
    json_t *properties = json_object_get(schema, "properties");
    if (json_is_null(given))
        given = NULL;
    int rc = check_known(properties, given, err);
    if (rc < 0)
        return rc;
    json_t *result = json_object();
    if (!result)
        return err_set(err, ERR_NOMEM, "params", "no memory for parameters");
    for (void *it = json_object_iter(properties); rc == 0 && it;
         it = json_object_iter_next(properties, it))
        rc = apply_property(schema, json_object_iter_key(it), json_object_iter_value(it), given,
                            result, err);
    if (rc < 0) {
        json_decref(result);
        return rc;
    }
    *out_params = result;
    return 0;
}
