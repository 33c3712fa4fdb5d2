/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/mail.h"

#include "common/buf.h"
#include "common/catalogue.h"
#include "common/err.h"
#include "dispatcher/notifier/mime.h"
#include "tests/unit/check.h"

#define AT 1795262530000 /* Sat, 21 Nov 2026 12:02:10 UTC */

static struct buf out;
static struct catalogue *catalogue;

static struct mail ready = {
    /* its language: see main() */
    .kind = MAIL_SUCCEEDED,
    .id = "6f1c.1",
    .to = "somebody@example.org",
    .site_url = "https://darkroom.example/",
    .result_url = "https://darkroom.example/j/6f1c?token=VIEW",
    .delete_url = "https://darkroom.example/j/6f1c/delete?token=DELETE",
    .unsubscribe_url = "https://darkroom.example/u/STOP",
    .public_id = "6f1c",
    .model = "Portrait drawing",
};

static const struct mail_sender sender = {"Darkroom", "lab@darkroom.example"};

static int compose(const struct mail *mail, struct err *err)
{
    *err = (struct err){0};
    buf_fini(&out);
    buf_init(&out, MAIL_MAX_BYTES);
    return mail_compose(&sender, mail, AT, &out, err);
}

/* Undoes quoted-printable over the whole message: enough to look for texts. */
static void decode(void)
{
    unsigned char *to = out.data;
    for (const unsigned char *c = out.data; *c; c++) {
        unsigned byte;
        if (c[0] == '=' && c[1] == '\r' && c[2] == '\n')
            c += 2;
        else if (c[0] == '=' && sscanf((const char *)c + 1, "%2X", &byte) == 1) {
            *to++ = (unsigned char)byte;
            c += 2;
        } else
            *to++ = *c;
    }
    *to = 0;
    out.size = (size_t)(to - out.data);
}

static void every_line_ends_with_crlf_and_fits(void)
{
    struct err err;
    struct mail mail = ready;
    mail.model = "Zeichnung \xc3\xbc"
                 "ber alles, mit einem sehr langen Namen, der \xe2\x80\x9e"
                 "viele\xe2\x80\x9c Zeichen hat";
    CHECK_INT(compose(&mail, &err), 0);
    size_t column = 0;
    for (size_t i = 0; i < out.size; i++) {
        CHECK(out.data[i] < 0x80);
        if (out.data[i] == '\n') {
            CHECK(i > 0 && out.data[i - 1] == '\r');
            column = 0;
            continue;
        }
        CHECK(out.data[i] != '\r' || out.data[i + 1] == '\n');
        column += out.data[i] != '\r';
        CHECK(column <= 78);
    }
    CHECK_INT(column, 0);
}

static void the_headers_are_those_of_a_machine_that_expects_no_answer(void)
{
    struct err err;
    CHECK_INT(compose(&ready, &err), 0);
    const char *text = buf_text(&out);
    CHECK_HAS(text, "Date: Sat, 21 Nov 2026 12:02:10 +0000\r\n");
    CHECK_HAS(text, "\r\nFrom: \"Darkroom\"\r\n <lab@darkroom.example>\r\n");
    CHECK_HAS(text, "\r\nTo: <somebody@example.org>\r\n");
    CHECK_HAS(text, "\r\nSubject: Your picture is ready\r\n");
    CHECK_HAS(text, "\r\nMessage-ID: <6f1c.1@darkroom.example>\r\n");
    CHECK_HAS(text, "\r\nAuto-Submitted: auto-generated\r\n");
    CHECK_HAS(text, "\r\nMIME-Version: 1.0\r\n");
    CHECK_HAS(text, "\r\nContent-Language: en\r\n");
}

static void one_click_is_offered_over_https_alone(void)
{
    struct err err;
    CHECK_INT(compose(&ready, &err), 0);
    CHECK_HAS(buf_text(&out), "\r\nList-Unsubscribe: <https://darkroom.example/u/STOP>\r\n");
    CHECK_HAS(buf_text(&out), "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
    struct mail mail = ready;
    mail.unsubscribe_url = "http://darkroom.example/u/STOP";
    CHECK_INT(compose(&mail, &err), 0);
    CHECK_HAS(buf_text(&out), "\r\nList-Unsubscribe: <http://darkroom.example/u/STOP>\r\n");
    CHECK(strstr(buf_text(&out), "List-Unsubscribe-Post") == NULL);
}

static void every_language_has_its_own_mail(void)
{
    size_t count;
    const struct catalogue_language *languages = catalogue_languages(catalogue, &count);
    CHECK(count >= 4);
    for (size_t i = 0; i < count; i++) {
        struct err err;
        struct mail mail = ready;
        mail.language = &languages[i];
        CHECK_INT(compose(&mail, &err), 0);
        bool english = !strcmp(languages[i].tag, "en");
        CHECK(!strstr(buf_text(&out), "Subject: Your picture is ready\r\n") == !english);
        decode();
        CHECK_HAS(buf_text(&out), catalogue_text(&languages[i], "mail.ready.look"));
        CHECK_HAS(buf_text(&out), catalogue_text(&languages[i], "mail.ready.button"));
        char lang[32];
        snprintf(lang, sizeof lang, "<html lang=\"%s\">", languages[i].tag);
        CHECK_HAS(buf_text(&out), lang);
    }
}

static void a_small_picture_is_part_of_the_html(void)
{
    static unsigned char jpeg[MAIL_MAX_THUMBNAIL + 1] = {0xff, 0xd8, 0xff};
    struct err err;
    struct mail mail = ready;
    mail.thumbnail = (struct mail_thumbnail){jpeg, MAIL_MAX_THUMBNAIL, 320, 200};
    CHECK_INT(compose(&mail, &err), 0);
    const char *text = buf_text(&out);
    CHECK_HAS(text, "multipart/related; type=\"text/html\"");
    CHECK_HAS(text, "\r\nContent-ID: <p.6f1c.1@darkroom.example>\r\n");
    CHECK_HAS(text, "Content-Transfer-Encoding: base64\r\n");
    CHECK_HAS(text, "\r\n\r\n/9j/AAAA");
    CHECK(strstr(text, "--=_6f1c.1--\r\n") > strstr(text, "--=_r_6f1c.1--\r\n"));
    decode();
    CHECK_HAS(buf_text(&out), "src=\"cid:p.6f1c.1@darkroom.example\" width=\"320\" height=\"200\"");
    mail.thumbnail.size++;
    CHECK_INT(compose(&mail, &err), ERR_LIMIT);
    mail.thumbnail.size = 0;
    CHECK_INT(compose(&mail, &err), 0);
    CHECK(strstr(buf_text(&out), "cid:") == NULL);
    CHECK(strstr(buf_text(&out), "multipart/related") == NULL);
}

static void both_parts_hold_both_links(void)
{
    struct err err;
    CHECK_INT(compose(&ready, &err), 0);
    decode();
    const char *html = strstr(buf_text(&out), "text/html");
    CHECK(html != NULL);
    CHECK_HAS(buf_text(&out), "\nhttps://darkroom.example/j/6f1c?token=VIEW\r\n");
    CHECK_HAS(buf_text(&out), "\nhttps://darkroom.example/j/6f1c/delete?token=DELETE\r\n");
    CHECK_HAS(html, "href=\"https://darkroom.example/j/6f1c?token=VIEW\"");
    CHECK_HAS(html, "href=\"https://darkroom.example/j/6f1c/delete?token=DELETE\"");
    CHECK(strstr(buf_text(&out), "{{") == NULL);
}

static void a_failure_says_why_in_plain_words(void)
{
    static const struct {
        const char *reason, *words;
    } cases[] = {{"corrupt", "damaged or cut off"}, {"limit", "larger than this model takes"},
                 {"unsupported", "of a kind"},      {"timeout", "longer than we allow"},
                 {"device", "on our side"},         {NULL, "on our side"},
                 {"<script>", "on our side"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err;
        struct mail mail = ready;
        mail.kind = MAIL_FAILED;
        mail.reason = cases[i].reason;
        CHECK_INT(compose(&mail, &err), 0);
        decode();
        CHECK_HAS(buf_text(&out), "Subject: Your picture could not be made\r\n");
        CHECK_HAS(buf_text(&out), cases[i].words);
        CHECK_HAS(strstr(buf_text(&out), "text/html"), cases[i].words);
        CHECK(strstr(buf_text(&out), "<script>") == NULL);
    }
}

static void a_retry_is_the_same_mail_but_for_its_date(void)
{
    struct err err;
    CHECK_INT(compose(&ready, &err), 0);
    size_t size;
    char *first = buf_steal(&out, &size);
    struct buf later;
    buf_init(&later, MAIL_MAX_BYTES);
    CHECK_INT(mail_compose(&sender, &ready, AT + 86400000, &later, &err), 0);
    CHECK_INT(later.size, size);
    CHECK_TEXT(strchr(buf_text(&later), '\n'), strchr(first, '\n'));
    free(first);
    buf_fini(&later);
}

static void an_address_cannot_bring_a_header(void)
{
    static const char *const addresses[] = {
        "",
        "a",
        "@",
        "a@",
        "@b.example",
        "a@b.example\r\nBcc: c@d.example",
        "a@b.example\nBcc: c@d.example",
        "a@b.example\r",
        "a@b.example>\r\nBcc: <c@d.example",
        "a@b.example> BODY=8BITMIME",
        "<a@b.example>",
        "a@b.example,c@d.example",
        "a b@c.example",
        "a@b@c.example",
        "a@b.example\t",
        "a@b.example\x7f",
        "\"a\"@b.example",
        "a\\@b.example",
        "a@[127.0.0.1]",
        "a(comment)@b.example",
        "\xc3\xa4@b.example",
    };
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct err err;
        struct mail mail = ready;
        mail.to = addresses[i];
        CHECK_INT(compose(&mail, &err), ERR_INVALID);
        CHECK(strstr(buf_text(&out), "Bcc") == NULL);
        CHECK(!addresses[i][0] || strlen(addresses[i]) < 4 || !strstr(err.text, addresses[i]));
    }
}

static void ids_and_links_cannot_bring_a_header(void)
{
    static const char *const ids[] = {"", ".a", "a.", "a..b", "a b", "a>", "a\r\nX: y", "a@b"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct err err;
        struct mail mail = ready;
        mail.id = ids[i];
        CHECK_INT(compose(&mail, &err), ERR_INVALID);
    }
    static const char *const urls[] = {
        "",        "javascript:alert(1)", "https://a/\r\nb", "https://a/ b", "https://a/\"onclick",
        "ftp://a/"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct err err;
        struct mail mail = ready;
        mail.result_url = urls[i];
        CHECK_INT(compose(&mail, &err), ERR_INVALID);
        CHECK_TEXT(err.field, "public-url");
    }
}

static void a_title_is_escaped_for_html(void)
{
    struct err err;
    struct mail mail = ready;
    mail.model = "<b>\"R&D\"'";
    CHECK_INT(compose(&mail, &err), 0);
    decode();
    CHECK_HAS(strstr(buf_text(&out), "text/html"), "&lt;b&gt;&quot;R&amp;D&quot;&#39;");
}

static void a_header_folds_encodes_and_refuses_control_characters(void)
{
    struct err err = {0};
    buf_fini(&out);
    buf_init(&out, 8192);
    CHECK_INT(mime_append_header(&out, "Subject", "\xc3\xa4 =?b_", &err), 0);
    CHECK_TEXT(buf_text(&out), "Subject: =?utf-8?Q?=C3=A4_=3D=3Fb=5F?=\r\n");
    buf_clear(&out);
    char text[401];
    for (size_t i = 0; i < 400; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[400] = 0;
    CHECK_INT(mime_append_header(&out, "X", text, &err), 0);
    for (const char *line = buf_text(&out); *line; line = strchr(line, '\n') + 1) {
        CHECK(strchr(line, '\r') - line <= 76);
        CHECK(line[0] == 'X' || line[0] == ' ');
    }
    buf_clear(&out);
    for (size_t i = 0; i < 400; i++)
        text[i] = i % 10 == 9 ? ' ' : 'a';
    CHECK_INT(mime_append_header(&out, "X", text, &err), 0);
    for (const char *line = buf_text(&out); *line; line = strchr(line, '\n') + 1)
        CHECK(strchr(line, '\r') - line <= 78);
    static char word[1001];
    memset(word, 'a', 1000);
    CHECK_INT(mime_append_header(&out, "X", word, &err), ERR_LIMIT);
    static const char *const bad[] = {"a\nb", "a\rb", "a\tb",     "\x7f",
                                      "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(mime_append_header(&out, "X", bad[i], NULL), ERR_INVALID);
}

static void quoted_printable_keeps_every_byte_within_its_lines(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"a", "a\r\n"},
        {"a\n", "a\r\n"},
        {"a\r\n", "a\r\n"},
        {"a=b", "a=3Db\r\n"},
        {"a \nb\t\n", "a=20\r\nb=09\r\n"},
        {"\xc3\xa4", "=C3=A4\r\n"},
        {"a\rb", "a=0Db\r\n"},
        {".\n..", ".\r\n..\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&out);
        CHECK_INT(mime_append_quoted_printable(&out, cases[i].text, strlen(cases[i].text)), 0);
        CHECK_TEXT(buf_text(&out), cases[i].want);
    }
    for (size_t length = 70; length < 160; length++)
        for (int kind = 0; kind < 3; kind++) {
            char text[161] = "";
            for (size_t i = 0; i < length; i++)
                text[i] = kind == 0 ? 'a' : kind == 1 ? '=' : "a=\xe9 "[(i * 7 + length) % 4];
            buf_clear(&out);
            CHECK_INT(mime_append_quoted_printable(&out, text, length), 0);
            for (const char *line = buf_text(&out); *line; line = strchr(line, '\n') + 1)
                CHECK(strchr(line, '\r') - line <= 76);
            decode();
            CHECK_INT(out.size, length + 2);
            CHECK(memcmp(out.data, text, length) == 0);
        }
}

static void the_sender_is_an_address_with_or_without_a_name(void)
{
    struct mail_sender got;
    struct err err = {0};
    CHECK_INT(mail_sender_parse("lab@darkroom.example", &got, &err), 0);
    CHECK_TEXT(got.name, "");
    CHECK_TEXT(got.address, "lab@darkroom.example");
    CHECK_INT(mail_sender_parse("The Dark Room <lab@darkroom.example>", &got, &err), 0);
    CHECK_TEXT(got.name, "The Dark Room");
    CHECK_TEXT(got.address, "lab@darkroom.example");
    static const char *const bad[] = {"",
                                      "lab",
                                      "<lab@a.example>",
                                      "A <lab@a.example",
                                      "A <lab>",
                                      "A <lab@a.example> B",
                                      "A\n <lab@a.example>",
                                      "\xff <lab@a.example>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err = (struct err){0};
        CHECK_INT(mail_sender_parse(bad[i], &got, &err), ERR_INVALID);
        CHECK(err.text[0]);
    }
}

static void a_message_never_outgrows_its_buffer(void)
{
    struct buf small;
    buf_init(&small, 1000);
    CHECK_INT(mail_compose(&sender, &ready, AT, &small, NULL), ERR_LIMIT);
    buf_fini(&small);
}

int main(void)
{
    struct err err = {0};
    CHECK_INT(catalogue_open(&catalogue, &err), 0);
    ready.language = catalogue_find(catalogue, "en");
    RUN(every_line_ends_with_crlf_and_fits);
    RUN(the_headers_are_those_of_a_machine_that_expects_no_answer);
    RUN(one_click_is_offered_over_https_alone);
    RUN(every_language_has_its_own_mail);
    RUN(a_small_picture_is_part_of_the_html);
    RUN(both_parts_hold_both_links);
    RUN(a_failure_says_why_in_plain_words);
    RUN(a_retry_is_the_same_mail_but_for_its_date);
    RUN(an_address_cannot_bring_a_header);
    RUN(ids_and_links_cannot_bring_a_header);
    RUN(a_title_is_escaped_for_html);
    RUN(a_header_folds_encodes_and_refuses_control_characters);
    RUN(quoted_printable_keeps_every_byte_within_its_lines);
    RUN(the_sender_is_an_address_with_or_without_a_name);
    RUN(a_message_never_outgrows_its_buffer);
    buf_fini(&out);
    catalogue_close(&catalogue);
    return check_report();
}
