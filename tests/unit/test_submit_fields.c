/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/submit_fields.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static const char properties[] =
    "{\"strength\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"default\":0.1},"
    "\"wide\":{\"type\":\"number\",\"minimum\":-1000,\"maximum\":1000,\"default\":5},"
    "\"fixed\":{\"type\":\"number\",\"minimum\":2,\"maximum\":2,\"default\":2},"
    "\"lines\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9,\"title\":\"Lines\"},"
    "\"far\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1001},"
    "\"seed\":{\"type\":\"integer\",\"minimum\":-9223372036854775807,"
    "\"maximum\":9223372036854775807,\"default\":3},"
    "\"paper\":{\"type\":\"string\",\"enum\":[\"white\",\"a.b\"],\"labels\":{\"white\":\"wit\"}},"
    "\"size\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9,\"enum\":[1,9],\"default\":9},"
    "\"frame\":{\"type\":\"boolean\",\"default\":true},"
    "\"caption\":{\"type\":\"string\",\"maxLength\":20,\"pattern\":\"^x\"}}";

static json_t *schema(void)
{
    return json_pack("{s:o, s:[s]}", "properties", json_loads(properties, 0, NULL), "required",
                     "caption");
}

static json_t *view_with(const char *typed)
{
    json_t *view = json_pack("{s:o}", "params", schema());
    json_t *texts = typed ? json_loads(typed, 0, NULL) : NULL;
    json_t *fields = submit_fields_view(view, texts);
    json_decref(texts);
    json_decref(view);
    return fields;
}

static const json_t *field(const json_t *fields, const char *name)
{
    for (size_t i = 0; i < json_array_size(fields); i++)
        if (!strcmp(json_string_value(json_object_get(json_array_get(fields, i), "name")), name))
            return json_array_get(fields, i);
    return NULL;
}

static const char *text(const json_t *fields, const char *name, const char *member)
{
    const char *value = json_string_value(json_object_get(field(fields, name), member));
    return value ? value : "(none)";
}

static bool is(const json_t *fields, const char *name, const char *kind)
{
    return json_is_true(json_object_get(field(fields, name), kind));
}

static void every_parameter_is_shown_as_its_kind_with_its_default(void)
{
    json_t *fields = view_with(NULL);
    CHECK_INT(json_array_size(fields), 10);
    CHECK(is(fields, "strength", "slider"));
    CHECK_TEXT(text(fields, "strength", "value"), "0.1");
    CHECK_TEXT(text(fields, "strength", "step"), "0.01");
    CHECK_TEXT(text(fields, "wide", "step"), "10.0");
    CHECK(is(fields, "fixed", "slider"));
    CHECK(is(fields, "lines", "slider"));
    CHECK_TEXT(text(fields, "lines", "title"), "Lines");
    CHECK(is(fields, "far", "number"));
    CHECK_TEXT(text(fields, "far", "title"), "far");
    CHECK(is(fields, "seed", "seed"));
    CHECK(is(fields, "paper", "select"));
    CHECK(is(fields, "size", "select"));
    CHECK(is(fields, "frame", "check") && is(fields, "frame", "checked"));
    CHECK(is(fields, "caption", "text") && is(fields, "caption", "required"));
    CHECK_TEXT(text(fields, "caption", "max_length"), "20");
    CHECK_TEXT(text(fields, "caption", "pattern"), "^x");
    json_decref(fields);
}

static void a_choice_is_shown_under_its_name(void)
{
    json_t *fields = view_with("{\"paper\":\"a.b\"}");
    const json_t *options = json_object_get(field(fields, "paper"), "options");
    const json_t *white = json_array_get(options, 0), *other = json_array_get(options, 1);
    CHECK_TEXT(json_string_value(json_object_get(white, "label")), "wit");
    CHECK(json_is_false(json_object_get(white, "selected")));
    CHECK_TEXT(json_string_value(json_object_get(other, "label")), "a.b");
    CHECK(json_is_true(json_object_get(other, "selected")));
    json_decref(fields);
}

static void what_was_typed_is_shown_again_whatever_it_is(void)
{
    json_t *fields = view_with("{\"strength\":\"much\",\"caption\":\"<b>\"}");
    CHECK_TEXT(text(fields, "strength", "value"), "much");
    CHECK_TEXT(text(fields, "caption", "value"), "<b>");
    CHECK(!is(fields, "frame", "checked")); /* a box that is not ticked is not sent */
    CHECK_TEXT(text(fields, "seed", "value"), "(none)");
    json_decref(fields);
}

static void each_look_has_another_seed_within_its_range(void)
{
    json_t *one = view_with(NULL), *two = view_with(NULL);
    CHECK(strcmp(text(one, "seed", "value"), text(two, "seed", "value")) != 0);
    json_decref(one);
    json_decref(two);
    json_t *narrow = json_pack("{s:{s:{s:{s:s, s:i, s:i}}}}", "params", "properties", "seed",
                               "type", "integer", "minimum", 7, "maximum", 7);
    json_t *fields = submit_fields_view(narrow, NULL);
    CHECK_TEXT(text(fields, "seed", "value"), "7");
    json_decref(fields);
    json_decref(narrow);
}

static void check_read(const char *typed, const char *want)
{
    json_t *own = schema(), *texts = json_loads(typed, 0, NULL);
    json_t *params = submit_fields_read(own, texts), *expected = json_loads(want, 0, NULL);
    if (!json_equal(params, expected)) {
        char *got = json_dumps(params, 0);
        printf("# %s is read as %s\n", typed, got);
        free(got);
    }
    CHECK(json_equal(params, expected));
    json_decref(expected);
    json_decref(params);
    json_decref(texts);
    json_decref(own);
}

static void texts_become_what_the_schema_wants(void)
{
    check_read("{}", "{\"frame\":false}");
    check_read("{\"strength\":\"0.25\",\"lines\":\"7\",\"paper\":\"white\",\"size\":\"9\","
               "\"frame\":\"true\",\"caption\":\"7\"}",
               "{\"strength\":0.25,\"lines\":7,\"paper\":\"white\",\"size\":9,\"frame\":true,"
               "\"caption\":\"7\"}");
    check_read("{\"strength\":\"\",\"caption\":\"\",\"frame\":\"true\"}", "{\"frame\":true}");
}

static void what_cannot_become_it_stays_a_text_for_the_schema_to_refuse(void)
{
    check_read("{\"frame\":\"maybe\",\"lines\":\"007\",\"size\":\"[1]\",\"strength\":\"null\","
               "\"seed\":\"9999999999999999999999\",\"far\":\"{}\",\"ghost\":\"1\"}",
               "{\"frame\":\"maybe\",\"lines\":\"007\",\"size\":\"[1]\",\"strength\":\"null\","
               "\"seed\":\"9999999999999999999999\",\"far\":\"{}\",\"ghost\":1}");
}

int main(void)
{
    RUN(every_parameter_is_shown_as_its_kind_with_its_default);
    RUN(a_choice_is_shown_under_its_name);
    RUN(what_was_typed_is_shown_again_whatever_it_is);
    RUN(each_look_has_another_seed_within_its_range);
    RUN(texts_become_what_the_schema_wants);
    RUN(what_cannot_become_it_stays_a_text_for_the_schema_to_refuse);
    return check_report();
}
