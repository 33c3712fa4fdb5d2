/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

static const struct json_limits limits = {.max_bytes = 4096, .max_depth = 4};

static json_t *parse(const char *text)
{
    json_t *value = NULL;
    struct err err = {0};
    CHECK_INT(json_parse(text, strlen(text), limits, &value, &err), 0);
    return value;
}

static void check_refused(const char *text, size_t size, int code)
{
    json_t *value = NULL;
    struct err err = {0};
    CHECK_INT(json_parse(text, size, limits, &value, &err), code);
    CHECK(value == NULL);
    CHECK_INT(err.code, code);
}

static void every_prefix_of_a_document_is_refused(void)
{
    const char text[] = "{\"a\": [1, 2.5, {\"b\": \"\\u00e9\\\"\"}], \"c\": null}";
    for (size_t n = 0; n < sizeof text - 1; n++)
        check_refused(text, n, ERR_INVALID);
    json_decref(parse(text));
}

static void bad_documents_are_refused(void)
{
    static const char *const texts[] = {"1",
                                        "\"a\"",
                                        "{} x",
                                        "{\"a\":1,}",
                                        "{'a':1}",
                                        "{\"a\":\"\xff\"}",
                                        "{\"a\":NaN}",
                                        "nul",
                                        "{\"a\":\"\\u0000\"}",
                                        "{\"a\":\"\n\"}",
                                        "[01]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_refused(texts[i], strlen(texts[i]), ERR_INVALID);
}

static void duplicate_members_are_refused_and_named_so(void)
{
    json_t *value = NULL;
    struct err err = {0};
    const char text[] = "{\"a\":1,\"a\":2}";
    CHECK_INT(json_parse(text, sizeof text - 1, limits, &value, &err), ERR_INVALID);
    CHECK_HAS(err.text, "duplicate");
}

static void depth_and_size_are_limited(void)
{
    check_refused("[[[[[]]]]]", 10, ERR_LIMIT);
    json_decref(parse("[[[[\"[[[[[[{\"]]]]"));
    static char big[5000];
    memset(big, ' ', sizeof big);
    check_refused(big, sizeof big, ERR_LIMIT);
}

/* Whatever is read or written the short way must be what jansson makes of it. */
static void the_short_way_and_jansson_agree(void)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        " { \"a\" : 1 , \"b\" : [ 1 , -2 , 0 , true , false , null , \"x y\" ] } ",
        "[999999999999999999,-999999999999999999,1000000000000000000]",
        "[0.5,1e3,-0,-1.25,12]",
        "{\"a\":\"\\n\\\"\\u00e9\",\"b\":\"\xc3\xa9\",\"\xc3\xa9\":1}",
        "{\"\":\"\",\"a.b\":{\"c\":{\"d\":[]}}}",
        "[[1],[2,[3]],{\"k\":[{}]}]",
        "{\"b\":1,\"a\":{\"d\":1,\"c\":2,\"cc\":3,\"C\":4},\"\":5,\"ab\":6}",
        ("{\"q\":1,\"p\":1,\"o\":1,\"n\":1,\"m\":1,\"l\":1,\"k\":1,\"j\":1,\"i\":1,\"h\":1,\"g\":1,"
         "\"f\":1,\"e\":1,\"d\":1,\"c\":1,\"b\":1,\"a\":1}"),
        "{\"a_name_that_is_longer_than_the_short_way_allows_a_name_to_be_at_all\":1}",
        "[\"\x7f\",\"/\",\"<script>\"]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf out;
        json_t *ours = parse(texts[i]), *theirs = json_loads(texts[i], 0, NULL);
        char *text = json_dumps(theirs, JSON_COMPACT);
        CHECK(theirs != NULL && json_equal(ours, theirs));
        buf_init(&out, 4096);
        CHECK_INT(json_append(&out, ours, JSON_COMPACT), 0);
        CHECK_TEXT(buf_text(&out), text);
        free(text);
        text = json_dumps(theirs, JSON_COMPACT | JSON_SORT_KEYS);
        buf_clear(&out);
        CHECK_INT(json_append(&out, ours, JSON_COMPACT | JSON_SORT_KEYS), 0);
        CHECK_TEXT(buf_text(&out), text);
        buf_fini(&out);
        free(text);
        json_decref(ours);
        json_decref(theirs);
    }
}

static void near_misses_of_the_short_way_are_refused(void)
{
    static const char *const texts[] = {
        "[1 2]",       "[+1]",          "[1.]",      "[--1]",           "[-]",
        "[- 1]",       "[00]",          "[-01]",     "[tru]",           "[truex]",
        "[nullx]",     "{\"a\"}",       "{\"a\" 1}", "{a:1}",           "{\"a\":}",
        "{,}",         "[,]",           "[1,]",      "{\"a\":1 \"b\"}", "[\"\t\"]",
        "[\"a\x01\"]", "[1]]",          "[1]x",      "{\"a\":1}}",      "[1x]",
        "[0x10]",      "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_refused(texts[i], strlen(texts[i]), ERR_INVALID);
    check_refused("{}\0", 3, ERR_INVALID);
}

/* In a copy of its own each, so that the sanitizer sees a byte read beyond. */
static void no_beginning_of_a_document_is_read_beyond_its_end(void)
{
    static const char text[] = "{\"a\":[-12,0,\"b c\",true,null,{\"d\":-0.5e1}],\"e\\u0041\":1}";
    for (size_t size = 0; size < sizeof text; size++) {
        char *copy = malloc(size ? size : 1);
        json_t *value = NULL;
        memcpy(copy, text, size);
        int rc = json_parse(copy, size, limits, &value, NULL);
        json_decref(value);
        free(copy);
        CHECK_INT(rc, size == sizeof text - 1 ? 0 : ERR_INVALID);
    }
    static const char *const ends[] = {"[-", "[", "{", "[0", "{\"", "{\"a\":", "-", "t", "[nul"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char *copy = malloc(strlen(ends[i]));
        memcpy(copy, ends[i], strlen(ends[i]));
        check_refused(copy, strlen(ends[i]), ERR_INVALID);
        free(copy);
    }
}

static void an_error_never_quotes_the_document(void)
{
    json_t *value = NULL;
    struct err err = {0};
    const char text[] = "{\"secret\" hunter2}";
    CHECK_INT(json_parse(text, sizeof text - 1, limits, &value, &err), ERR_INVALID);
    CHECK(strstr(err.text, "hunter2") == NULL);
}

static void getters_read_what_is_there(void)
{
    json_t *root = parse("{\"t\":\"x\",\"i\":-3,\"r\":1,\"b\":true,\"o\":{},\"a\":[1]}");
    const char *text;
    int64_t integer;
    double real;
    bool flag;
    json_t *value;
    CHECK_INT(json_get_text(root, "t", 1, &text, NULL), 0);
    CHECK_TEXT(text, "x");
    CHECK_INT(json_get_int(root, "i", -3, 3, &integer, NULL), 0);
    CHECK_INT(integer, -3);
    CHECK_INT(json_get_real(root, "r", 0, 1, &real, NULL), 0);
    CHECK(real == 1.0);
    CHECK_INT(json_get_bool(root, "b", &flag, NULL), 0);
    CHECK(flag);
    CHECK_INT(json_get_object(root, "o", &value, NULL), 0);
    CHECK_INT(json_get_array(root, "a", 1, &value, NULL), 0);
    json_decref(root);
}

static void a_bad_member_is_named_with_its_limit(void)
{
    json_t *root = parse("{\"x\":70000,\"t\":\"abcdef\",\"n\":\"a\\r\\nb\",\"a\":[1,2]}");
    const char *text = NULL;
    int64_t integer;
    json_t *value;
    struct err err = {0};
    CHECK_INT(json_get_int(root, "crop.x", 0, 65535, &integer, &err), ERR_INVALID);
    CHECK_TEXT(err.field, "crop.x");
    CHECK_HAS(err.text, "0 to 65535");
    err = (struct err){0};
    CHECK_INT(json_get_text(root, "t", 5, &text, &err), ERR_LIMIT);
    CHECK_TEXT(err.field, "t");
    CHECK_HAS(err.text, "more than 5");
    err = (struct err){0};
    CHECK_INT(json_get_text(root, "n", 50, &text, &err), ERR_INVALID);
    CHECK_HAS(err.text, "control character");
    err = (struct err){0};
    CHECK_INT(json_get_array(root, "a", 1, &value, &err), ERR_LIMIT);
    err = (struct err){0};
    CHECK_INT(json_get_text(root, "missing", 5, &text, &err), ERR_INVALID);
    CHECK_HAS(err.text, "missing is required");
    CHECK(text == NULL);
    json_decref(root);
}

static void an_optional_member_may_be_absent_or_null_but_not_wrong(void)
{
    json_t *root = parse("{\"n\":null,\"w\":1}");
    const char *text = "default";
    CHECK_INT(json_opt_text(root, "absent", 5, &text, NULL), 0);
    CHECK_INT(json_opt_text(root, "n", 5, &text, NULL), 0);
    CHECK_TEXT(text, "default");
    CHECK_INT(json_opt_text(root, "w", 5, &text, NULL), ERR_INVALID);
    json_decref(root);
}

static void unknown_members_are_refused_by_name(void)
{
    json_t *root = parse("{\"a\":1,\"zz\":2}");
    struct err err = {0};
    CHECK_INT(json_check_members(root, NULL, (const char *const[]){"a", "zz", NULL}, &err), 0);
    CHECK_INT(json_check_members(root, "params", (const char *const[]){"a", NULL}, &err),
              ERR_INVALID);
    CHECK_TEXT(err.field, "params.zz");
    CHECK_INT(json_check_members(NULL, "params", (const char *const[]){NULL}, NULL), ERR_INVALID);
    json_decref(root);
}

static void appending_past_the_maximum_leaves_the_buffer_as_it_was(void)
{
    json_t *root = parse("{\"a\":[1,2,3]}");
    struct buf buf;
    buf_init(&buf, 20);
    CHECK_INT(json_append(&buf, root, JSON_COMPACT), 0);
    CHECK_TEXT(buf_text(&buf), "{\"a\":[1,2,3]}");
    CHECK_INT(json_append(&buf, root, JSON_COMPACT), ERR_LIMIT);
    CHECK_TEXT(buf_text(&buf), "{\"a\":[1,2,3]}");
    buf_fini(&buf);
    json_decref(root);
}

static void a_control_is_found_at_every_place_among_all_other_bytes(void)
{
    char text[20];
    for (int byte = 0; byte < 256; byte++)
        for (size_t place = 0; place < sizeof text; place++)
            for (int others = 0; others < 2; others++) {
                memset(text, others ? 0xff : ' ', sizeof text);
                text[place] = (char)byte;
                CHECK_INT(json_text_is_clean(text, sizeof text), byte >= 0x20 && byte != 0x7f);
                CHECK_INT(json_text_is_clean(text, place), 1);
            }
}

int main(void)
{
    RUN(every_prefix_of_a_document_is_refused);
    RUN(bad_documents_are_refused);
    RUN(duplicate_members_are_refused_and_named_so);
    RUN(depth_and_size_are_limited);
    RUN(the_short_way_and_jansson_agree);
    RUN(near_misses_of_the_short_way_are_refused);
    RUN(no_beginning_of_a_document_is_read_beyond_its_end);
    RUN(an_error_never_quotes_the_document);
    RUN(getters_read_what_is_there);
    RUN(a_bad_member_is_named_with_its_limit);
    RUN(an_optional_member_may_be_absent_or_null_but_not_wrong);
    RUN(unknown_members_are_refused_by_name);
    RUN(a_control_is_found_at_every_place_among_all_other_bytes);
    RUN(appending_past_the_maximum_leaves_the_buffer_as_it_was);
    return check_report();
}
