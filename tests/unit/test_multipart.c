/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/multipart.h"

#include "common/err.h"
#include "tests/unit/check.h"

#define TYPE "multipart/form-data; boundary=XyZ"

/* Writes down what the parser says: "<name:data>" for each part. */
struct record {
    char text[600];
    size_t used;
    int refuse; /* what data() answers */
};

static void put(struct record *record, const char *data, size_t size)
{
    if (record->used + size < sizeof record->text) {
        memcpy(record->text + record->used, data, size);
        record->used += size;
        record->text[record->used] = 0;
    }
}

static int on_part(void *context, const char *name, struct err *err)
{
    put(context, "<", 1);
    put(context, name, strlen(name));
    put(context, ":", 1);
    return 0;
}

static int on_data(void *context, const void *data, size_t size, struct err *err)
{
    struct record *record = context;
    put(record, data, size);
    return record->refuse;
}

static int on_end(void *context, struct err *err)
{
    put(context, ">", 1);
    return 0;
}

/* Feeds `size` bytes in pieces of `step`; gives the first error, of finish() too. */
static int parse(const char *type, const char *body, size_t size, size_t step,
                 struct record *record)
{
    struct multipart_sink sink = {record, on_part, on_data, on_end};
    struct multipart *parser = NULL;
    int rc = multipart_create(type, &sink, &parser, NULL);
    for (size_t at = 0; rc == 0 && at < size; at += step)
        rc = multipart_feed(parser, body + at, size - at < step ? size - at : step, NULL);
    if (rc == 0)
        rc = multipart_finish(parser, NULL);
    multipart_destroy(&parser);
    return rc;
}

static int parse_text(const char *type, const char *body, struct record *record)
{
    return parse(type, body, strlen(body), 7, record);
}

static const char form[] =
    "--XyZ\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"
    "portrait-drawing\r\n"
    "--XyZ\r\n"
    "content-disposition: form-data; name=\"input\"; filename=\"a b.png\"\r\n"
    "Content-Type: image/png\r\n\r\n"
    "\x89PNG\r\n\r\n--XyY\r\n-\r\r\n--Xy\r\n"
    "--XyZ--\r\n";
static const char form_meaning[] =
    "<model:portrait-drawing><input:\x89PNG\r\n\r\n--XyY\r\n-\r\r\n--Xy>";

static void a_form_means_the_same_in_pieces_of_any_size(void)
{
    for (size_t step = 1; step <= sizeof form; step++) {
        struct record record = {.used = 0};
        CHECK_INT(parse(TYPE, form, sizeof form - 1, step, &record), 0);
        CHECK_TEXT(record.text, form_meaning);
    }
}

static void every_prefix_of_a_form_is_refused_as_cut_off(void)
{
    size_t end = sizeof form - 1 - 2; /* the last CRLF may be missing */
    for (size_t size = 0; size < end; size++) {
        struct record record = {.used = 0};
        CHECK_INT(parse(TYPE, form, size, 64, &record), ERR_CORRUPT);
    }
    struct record record = {.used = 0};
    CHECK_INT(parse(TYPE, form, end, 64, &record), 0);
}

static void parts_may_be_empty_and_boundaries_quoted(void)
{
    struct record record = {.used = 0};
    CHECK_INT(parse_text("Multipart/Form-Data; charset=x; boundary=\"a b:c\"",
                         "--a b:c\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n"
                         "--a b:c--",
                         &record),
              0);
    CHECK_TEXT(record.text, "<x:>");
}

static void an_unsuitable_content_type_is_refused(void)
{
    struct record record = {.used = 0};
    CHECK_INT(parse_text(NULL, "", &record), ERR_UNSUPPORTED);
    CHECK_INT(parse_text("application/json", "", &record), ERR_UNSUPPORTED);
    CHECK_INT(parse_text("multipart/form-datax; boundary=a", "", &record), ERR_UNSUPPORTED);
    CHECK_INT(parse_text("multipart/form-data", "", &record), ERR_INVALID);
    CHECK_INT(parse_text("multipart/form-data; boundary=", "", &record), ERR_INVALID);
    CHECK_INT(parse_text("multipart/form-data; boundary=\"a", "", &record), ERR_INVALID);
    CHECK_INT(parse_text("multipart/form-data; boundary=a<b", "", &record), ERR_INVALID);
    CHECK_INT(parse_text("multipart/form-data; boundary="
                         "0123456789012345678901234567890123456789012345678901234567890123456789x",
                         "", &record),
              ERR_INVALID);
}

static void malformed_bodies_are_refused(void)
{
    static const char *const bodies[] = {
        "preamble\r\n--XyZ\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n--XyZ--",
        "--XyZx\r\n",
        "--XyZ-x",
        "--XyZ\rx",
        "--XyZ\r\nContent-Disposition: form-data; name=x\n\n\n--XyZ--",
        "--XyZ\r\n\r\nno headers\r\n--XyZ--",
        "--XyZ\r\nContent-Disposition: attachment; name=x\r\n\r\n",
        "--XyZ\r\nContent-Disposition: form-data\r\n\r\n",
        "--XyZ\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n",
        "--XyZ\r\nContent-Disposition: form-data; name=\"x\r\n\r\n",
        "--XyZ\r\nContent-Disposition: form-data; name=\"a\x01\"\r\n\r\n",
        "--XyZ\r\nContent-Disposition: form-data; name=\"a\rb\"\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct record record = {.used = 0};
        if (parse_text(TYPE, bodies[i], &record) != ERR_INVALID)
            printf("# body %zu\n", i);
        CHECK_INT(parse_text(TYPE, bodies[i], &record), ERR_INVALID);
    }
    struct record record = {.used = 0};
    static const char zero[] = "--XyZ\r\nContent-Disposition: form-data; name=\"a\0b\"\r\n\r\n";
    CHECK_INT(parse(TYPE, zero, sizeof zero - 1, 5, &record), ERR_INVALID);
}

static void parts_names_and_headers_have_limits(void)
{
    static char body[64 * 1024];
    size_t used = 0;
    for (int i = 0; i <= MULTIPART_MAX_PARTS; i++)
        used += (size_t)snprintf(body + used, sizeof body - used,
                                 "--XyZ\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n");
    struct record record = {.used = 0};
    CHECK_INT(parse(TYPE, body, used, 100, &record), ERR_LIMIT);

    memset(body, 'h', sizeof body);
    memcpy(body, "--XyZ\r\nX: ", 10);
    CHECK_INT(parse(TYPE, body, sizeof body, 100, &record), ERR_LIMIT);

    static const char name[] = "--XyZ\r\nContent-Disposition: form-data; name=\""
                               "01234567890123456789012345678901234567890123456789012345678901234"
                               "\"\r\n\r\n";
    CHECK_INT(parse(TYPE, name, sizeof name - 1, 100, &record), ERR_LIMIT);
}

static void the_word_of_the_sink_is_final(void)
{
    struct record record = {.refuse = ERR_LIMIT};
    struct multipart_sink sink = {&record, on_part, on_data, on_end};
    struct multipart *parser = NULL;
    CHECK_INT(multipart_create(TYPE, &sink, &parser, NULL), 0);
    CHECK_INT(multipart_feed(parser, form, sizeof form - 1, NULL), ERR_LIMIT);
    CHECK_TEXT(record.text, "<model:portrait-drawing");
    CHECK_INT(multipart_feed(parser, "x", 1, NULL), ERR_LIMIT);
    CHECK_INT(multipart_finish(parser, NULL), ERR_LIMIT);
    multipart_destroy(&parser);
}

int main(void)
{
    RUN(a_form_means_the_same_in_pieces_of_any_size);
    RUN(every_prefix_of_a_form_is_refused_as_cut_off);
    RUN(parts_may_be_empty_and_boundaries_quoted);
    RUN(an_unsuitable_content_type_is_refused);
    RUN(malformed_bodies_are_refused);
    RUN(parts_names_and_headers_have_limits);
    RUN(the_word_of_the_sink_is_final);
    return check_report();
}
