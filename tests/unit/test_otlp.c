/* SPDX-License-Identifier: MIT
 *
 * That a collector takes it is tested against OpenTelemetry's own definitions (integration). */
#include "common/otlp.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/span.h"
#include "tests/unit/check.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"

static const struct trace step = {.id = ID, .span = "00f067aa0ba902b7", .sampled = true};

static void lists_of_the_environment_are_taken_apart(void)
{
    struct otlp_pairs pairs = {.count = 0};
    char text[] = " authorization = Bearer%20a%2Cb=c ,, x-tenant=7\r\nempty=\n";
    CHECK_INT(otlp_pairs_parse(text, "a file", &pairs, NULL), 0);
    CHECK_INT(pairs.count, 3);
    CHECK_TEXT(pairs.items[0].key, "authorization");
    CHECK_TEXT(pairs.items[0].value, "Bearer a,b=c");
    CHECK_TEXT(pairs.items[1].key, "x-tenant");
    CHECK_TEXT(pairs.items[1].value, "7");
    CHECK_TEXT(pairs.items[2].value, "");
}

static void a_bad_list_is_refused_without_telling_its_values(void)
{
    static const char *const texts[] = {"secret",      "=secret",     "a=b,secret",
                                        "a=secret%",   "a=secret%2",  "a=secret%zz",
                                        "a=secret%0a", "a=secret%0d", "a=secret\x7f"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct otlp_pairs pairs = {.count = 0};
        struct err err = {0};
        char text[32];
        snprintf(text, sizeof text, "%s", texts[i]);
        CHECK_INT(otlp_pairs_parse(text, "HEADERS", &pairs, &err), ERR_INVALID);
        CHECK(strstr(err.text, "HEADERS") != NULL);
        CHECK(strstr(err.text, "secret") == NULL);
    }
    struct otlp_pairs pairs = {.count = OTLP_PAIRS_MAX - 1};
    char text[] = "a=b,c=d";
    CHECK_INT(otlp_pairs_parse(text, "HEADERS", &pairs, NULL), ERR_LIMIT);
}

static json_t *written(const struct span *spans, size_t count)
{
    struct otlp_pairs pairs = {.items = {{"service.name", "first"}, {"service.name", "la\"st"}},
                               .count = 2};
    const struct json_limits limits = {.max_bytes = 65536, .max_depth = 20};
    struct buf resource, body;
    json_t *root = NULL;
    buf_init(&resource, 4096);
    buf_init(&body, 65536);
    CHECK_INT(otlp_write_resource(&pairs, &resource), 0);
    CHECK_INT(otlp_write_traces(&resource, spans, count, &body), 0);
    CHECK_INT(json_parse(body.data, body.size, limits, &root, NULL), 0);
    buf_fini(&resource);
    buf_fini(&body);
    return root;
}

static json_t *at(json_t *array, size_t index)
{
    return json_array_get(array, index);
}

static json_t *member(json_t *object, const char *name)
{
    return json_object_get(object, name);
}

static json_t *spans_of(json_t *root)
{
    return member(at(member(at(member(root, "resourceSpans"), 0), "scopeSpans"), 0), "spans");
}

static const char *text_of(json_t *object, const char *name)
{
    const char *text = json_string_value(member(object, name));
    return text ? text : "none";
}

static void ids_are_hex_and_long_numbers_are_texts(void)
{
    struct span spans[2];
    span_init(&spans[0], SPAN_SERVER, &step, "b7ad6b7169203331", "POST %s", "/v1/jobs");
    span_number(&spans[0], "http.response.status_code", 503);
    span_text(&spans[0], "model", "caf\xc3\xa9 \"quoted\"");
    span_text(&spans[0], "broken", "\xff");
    span_fail(&spans[0], "503");
    spans[0].start_us = 1700000000000001;
    spans[0].end_us = 1700000000000002;
    struct trace *links = span_links(&spans[0], 1);
    CHECK(links != NULL);
    links[0] = step;
    span_init(&spans[1], SPAN_INTERNAL, &step, NULL, "root");
    json_t *root = written(spans, 2), *one = at(spans_of(root), 0);
    CHECK_INT(json_array_size(spans_of(root)), 2);
    CHECK_TEXT(text_of(one, "traceId"), ID);
    CHECK_TEXT(text_of(one, "spanId"), "00f067aa0ba902b7");
    CHECK_TEXT(text_of(one, "parentSpanId"), "b7ad6b7169203331");
    CHECK_TEXT(text_of(one, "name"), "POST /v1/jobs");
    CHECK_TEXT(text_of(one, "startTimeUnixNano"), "1700000000000001000");
    CHECK_TEXT(text_of(one, "endTimeUnixNano"), "1700000000000002000");
    CHECK_INT(json_integer_value(member(one, "kind")), 2);
    CHECK_INT(json_integer_value(member(member(one, "status"), "code")), 2);
    json_t *attributes = member(one, "attributes");
    CHECK_INT(json_array_size(attributes), 3); /* what is no UTF-8 is left out */
    CHECK_TEXT(text_of(member(at(attributes, 0), "value"), "intValue"), "503");
    CHECK_TEXT(text_of(member(at(attributes, 1), "value"), "stringValue"),
               "caf\xc3\xa9 \"quoted\"");
    CHECK_TEXT(text_of(at(attributes, 2), "key"), "error.type");
    CHECK_TEXT(text_of(at(member(one, "links"), 0), "traceId"), ID);
    CHECK(member(at(spans_of(root), 1), "parentSpanId") == NULL);
    CHECK(member(at(spans_of(root), 1), "status") == NULL);
    json_decref(root);
    span_fini(&spans[0]);
}

static void of_a_resource_the_last_word_counts(void)
{
    json_t *root = written(NULL, 0);
    json_t *attributes =
        member(member(at(member(root, "resourceSpans"), 0), "resource"), "attributes");
    CHECK_INT(json_array_size(attributes), 1);
    CHECK_TEXT(text_of(member(at(attributes, 0), "value"), "stringValue"), "la\"st");
    json_decref(root);
}

static void an_answer_may_say_that_not_all_were_taken(void)
{
    static const struct {
        const char *answer;
        int64_t rejected;
        const char *reason;
    } rows[] = {
        {"", 0, ""},
        {"{}", 0, ""},
        {"not json", 0, ""},
        {"[1]", 0, ""},
        {"{\"partialSuccess\":{}}", 0, ""},
        {"{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"too\\nold\"}}", 3,
         "too?old"},
        {"{\"partialSuccess\":{\"rejectedSpans\":4}}", 4, ""},
        {"{\"partialSuccess\":{\"rejectedSpans\":-1}}", 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char reason[OTLP_REASON_SIZE];
        CHECK_INT(otlp_read_rejected(rows[i].answer, strlen(rows[i].answer), reason),
                  rows[i].rejected);
        CHECK_TEXT(reason, rows[i].reason);
    }
}

int main(void)
{
    RUN(lists_of_the_environment_are_taken_apart);
    RUN(a_bad_list_is_refused_without_telling_its_values);
    RUN(ids_are_hex_and_long_numbers_are_texts);
    RUN(of_a_resource_the_last_word_counts);
    RUN(an_answer_may_say_that_not_all_were_taken);
    return check_report();
}
