/* SPDX-License-Identifier: MIT */
#include "common/params.h"

#include "common/err.h"
#include "tests/unit/check.h"

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    CHECK(value != NULL);
    return value;
}

static const char *const sound =
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"seed\"],\"properties\":{"
    "\"seed\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9},"
    "\"strength\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"default\":0.5},"
    "\"paper\":{\"type\":\"string\",\"enum\":[\"white\",\"cream\"],\"default\":\"white\"},"
    "\"caption\":{\"type\":\"string\",\"maxLength\":3,\"title\":\"T\",\"description\":\"D\"},"
    "\"ink\":{\"type\":\"boolean\",\"default\":true}}}";

static void a_sound_schema_is_taken(void)
{
    json_t *schema = parse(sound);
    struct err err = {0};
    CHECK_INT(params_check_schema(schema, &err), 0);
    json_decref(schema);
}

static void check_bad_schema(const char *text, const char *field)
{
    json_t *schema = parse(text);
    struct err err = {0};
    CHECK(params_check_schema(schema, &err) < 0);
    printf("# %s\n", err.text);
    CHECK_TEXT(err.field, field);
    json_decref(schema);
}

static void check_bad_property(const char *property, const char *field)
{
    char text[512];
    snprintf(text, sizeof text, "{\"type\":\"object\",\"properties\":{\"p\":%s}}", property);
    check_bad_schema(text, field);
}

static void an_unsound_schema_is_refused(void)
{
    check_bad_schema("{}", "params.properties");
    check_bad_schema("{\"properties\":{}}", "params.type");
    check_bad_schema("{\"type\":\"array\",\"properties\":{}}", "params.type");
    check_bad_schema("{\"type\":\"object\",\"properties\":[]}", "params.properties");
    check_bad_schema("{\"type\":\"object\",\"properties\":{},\"oneOf\":[]}", "params.oneOf");
    check_bad_schema("{\"type\":\"object\",\"properties\":{},\"additionalProperties\":true}",
                     "params.additionalProperties");
    check_bad_schema("{\"type\":\"object\",\"properties\":{},\"required\":[\"x\"]}",
                     "params.required");
    check_bad_schema("{\"type\":\"object\",\"properties\":{},\"required\":[1]}", "params.required");
    check_bad_schema("{\"type\":\"object\",\"properties\":{\"Bad Name\":{}}}", "params.properties");
    check_bad_property("1", "params.p");
    check_bad_property("{\"type\":\"string\",\"maxLength\":9,\"pattern\":\"[0-9]+\"}", "params.p");
    check_bad_property("{\"type\":\"string\",\"maxLength\":9,\"pattern\":\"^(0$\"}", "params.p");
    check_bad_property("{\"type\":\"string\",\"maxLength\":9,\"pattern\":7}", "pattern");
    check_bad_property("{\"type\":\"string\",\"pattern\":\"^a$\"}", "params.p");
    check_bad_property("{\"type\":\"integer\",\"minimum\":0,\"maximum\":9,\"pattern\":\"^a$\"}",
                       "params.p.pattern");
    check_bad_property(
        "{\"type\":\"string\",\"maxLength\":9,\"pattern\":\"^[0-9]$\",\"default\":\"x\"}",
        "params.p");
    check_bad_property("{}", "params.p");
    check_bad_property("{\"type\":\"null\"}", "params.p");
    check_bad_property("{\"type\":\"integer\"}", "params.p");
    check_bad_property("{\"type\":\"integer\",\"minimum\":1}", "params.p");
    check_bad_property("{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}", "params.p");
    check_bad_property("{\"type\":\"integer\",\"minimum\":0.5,\"maximum\":1}", "params.p");
    check_bad_property("{\"type\":\"string\"}", "params.p");
    check_bad_property("{\"type\":\"string\",\"maxLength\":99999}", "maxLength");
    check_bad_property("{\"type\":\"string\",\"enum\":[]}", "params.p");
    check_bad_property("{\"type\":\"string\",\"enum\":\"x\"}", "params.p");
    check_bad_property("{\"type\":\"string\",\"enum\":[1]}", "params.p");
    check_bad_property("{\"type\":\"string\",\"enum\":[\"a\"],\"default\":\"b\"}", "params.p");
    check_bad_property("{\"type\":\"boolean\",\"default\":1}", "params.p");
    check_bad_property("{\"type\":\"boolean\",\"pattern\":\"x\"}", "params.p.pattern");
    check_bad_property("{\"type\":\"boolean\",\"title\":\"a\\nb\"}", "title");
}

static void defaults_are_filled_in(void)
{
    json_t *schema = parse(sound), *given = parse("{\"seed\":3,\"ink\":false}"), *params = NULL;
    CHECK_INT(params_apply_schema(schema, given, &params, NULL), 0);
    CHECK_INT(json_integer_value(json_object_get(params, "seed")), 3);
    CHECK(json_is_false(json_object_get(params, "ink")));
    CHECK_TEXT(json_string_value(json_object_get(params, "paper")), "white");
    CHECK(json_object_get(params, "caption") == NULL);
    CHECK_INT(json_object_size(params), 4);
    json_decref(params);
    json_decref(given);
    json_decref(schema);
}

static void check_bad_params(const char *text, const char *field, const char *part)
{
    json_t *schema = parse(sound), *given = parse(text), *params = NULL;
    struct err err = {0};
    CHECK_INT(params_apply_schema(schema, given, &params, &err), ERR_INVALID);
    CHECK(params == NULL);
    printf("# %s\n", err.text);
    CHECK_TEXT(err.field, field);
    CHECK_HAS(err.text, part);
    json_decref(given);
    json_decref(schema);
}

static void bad_parameters_are_named_with_their_limit(void)
{
    check_bad_params("[]", "params", "must be an object");
    check_bad_params("{}", "params.seed", "required");
    check_bad_params("{\"seed\":null}", "params.seed", "integer");
    check_bad_params("{\"seed\":1.5}", "params.seed", "integer");
    check_bad_params("{\"seed\":\"1\"}", "params.seed", "integer");
    check_bad_params("{\"seed\":10}", "params.seed", "0 to 9");
    check_bad_params("{\"seed\":-1}", "params.seed", "0 to 9");
    check_bad_params("{\"seed\":1,\"strength\":1.01}", "params.strength", "0 to 1");
    check_bad_params("{\"seed\":1,\"strength\":true}", "params.strength", "number");
    check_bad_params("{\"seed\":1,\"paper\":\"blue\"}", "params.paper", "[\"white\",\"cream\"]");
    check_bad_params("{\"seed\":1,\"paper\":7}", "params.paper", "text");
    check_bad_params("{\"seed\":1,\"caption\":\"abcd\"}", "params.caption", "3 characters");
    check_bad_params("{\"seed\":1,\"caption\":\"a\\r\\n\"}", "params.caption", "control");
    check_bad_params("{\"seed\":1,\"ink\":0}", "params.ink", "true or false");
    check_bad_params("{\"seed\":1,\"sede\":1}", "params.sede", "no parameter");
    check_bad_params("{\"seed\":1,\"a b\\n\":1}", "params", "no parameter");
}

static void length_counts_characters_not_bytes(void)
{
    json_t *schema = parse(sound), *params = NULL;
    json_t *given = parse("{\"seed\":1,\"caption\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}");
    CHECK_INT(params_apply_schema(schema, given, &params, NULL), 0);
    json_decref(params);
    json_decref(given);
    json_decref(schema);
}

static void a_pattern_holds_for_the_whole_text(void)
{
    json_t *schema = parse("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"string\","
                           "\"maxLength\":10,\"pattern\":\"^[0-9]{1,10}$\"}}}");
    static const struct {
        const char *text;
        int rc;
    } rows[] = {{"0", 0},
                {"0123456789", 0},
                {"", ERR_INVALID},
                {" 1", ERR_INVALID},
                {"1a", ERR_INVALID},
                {"\xd9\xa1", ERR_INVALID}};
    CHECK_INT(params_check_schema(schema, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *given = json_pack("{s:s}", "n", rows[i].text), *params = NULL;
        struct err err = {0};
        CHECK_INT(params_apply_schema(schema, given, &params, &err), rows[i].rc);
        if (rows[i].rc < 0)
            CHECK_HAS(err.text, "must match ^[0-9]{1,10}$");
        json_decref(params);
        json_decref(given);
    }
    json_decref(schema);
}

int main(void)
{
    RUN(a_sound_schema_is_taken);
    RUN(an_unsound_schema_is_refused);
    RUN(defaults_are_filled_in);
    RUN(bad_parameters_are_named_with_their_limit);
    RUN(a_pattern_holds_for_the_whole_text);
    RUN(length_counts_characters_not_bytes);
    return check_report();
}
