/* SPDX-License-Identifier: MIT */
#include "common/smtp.h"

#include "common/err.h"
#include "tests/unit/check.h"

static int create(const char *url, bool allow_plain, struct err *err)
{
    struct smtp *smtp = NULL;
    *err = (struct err){0};
    int rc =
        smtp_create(&(struct smtp_options){.url = url, .allow_plain = allow_plain}, &smtp, err);
    CHECK((rc == 0) == (smtp != NULL));
    smtp_destroy(&smtp);
    smtp_destroy(&smtp);
    return rc;
}

static void plain_text_stays_on_this_machine_unless_allowed(void)
{
    struct err err;
    CHECK_INT(create("smtp://127.0.0.1:2525", false, &err), 0);
    CHECK_INT(create("smtp://localhost", false, &err), 0);
    CHECK_INT(create("smtp://[::1]:25/hello.example", false, &err), 0);
    CHECK_INT(create("smtp://mail.example", false, &err), ERR_INVALID);
    CHECK_HAS(err.text, "plain");
    CHECK_INT(create("smtp://localhost.example", false, &err), ERR_INVALID);
    CHECK_INT(create("smtp://mail.example", true, &err), 0);
    CHECK_INT(create("smtp+starttls://mail.example:587", false, &err), 0);
    CHECK_INT(create("smtps://mail.example", false, &err), 0);
}

static void other_urls_are_refused_with_the_forms_that_work(void)
{
    static const char *const urls[] = {"",
                                       "mail.example",
                                       "http://mail.example",
                                       "file:///etc/passwd",
                                       "smtp://",
                                       "smtp+starttls://",
                                       "smtps+starttls://mail.example",
                                       "smtp://127.0.0.1:99999",
                                       "smtp://127.0.0.1 -oProxy"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct err err;
        CHECK_INT(create(urls[i], true, &err), ERR_INVALID);
        CHECK_TEXT(err.field, "smtp");
    }
    struct err err;
    CHECK_INT(create("smtps://user:password@mail.example", false, &err), ERR_INVALID);
    CHECK(strstr(err.text, "password@") == NULL);
    char url[600] = "smtps://";
    memset(url + 8, 'a', 580);
    CHECK_INT(create(url, false, &err), ERR_INVALID);
}

static void a_bad_address_is_refused_before_anything_is_sent(void)
{
    struct smtp *smtp = NULL;
    struct smtp_outcome outcome;
    struct err err = {0};
    CHECK_INT(smtp_create(&(struct smtp_options){.url = "smtp://127.0.0.1:1"}, &smtp, &err), 0);
    CHECK_INT(smtp_send(smtp, "lab@darkroom.example", "a@b.example>\r\nRCPT TO:<c@d.example", "", 0,
                        &outcome, &err),
              ERR_INVALID);
    CHECK_INT(outcome.reply, 0);
    CHECK(strstr(err.text, "d.example") == NULL);
    smtp_destroy(&smtp);
}

static void a_server_that_is_away_is_no_fault_of_the_mail(void)
{
    struct smtp *smtp = NULL;
    struct smtp_outcome outcome = {SMTP_TAKEN, 1};
    struct err err = {0};
    /* Port 1 of the loopback: refused at once. */
    CHECK_INT(smtp_create(&(struct smtp_options){.url = "smtp://127.0.0.1:1"}, &smtp, &err), 0);
    CHECK_INT(smtp_send(smtp, "lab@darkroom.example", "a@b.example", "x\r\n", 3, &outcome, &err),
              ERR_UNAVAILABLE);
    CHECK_INT(outcome.stage, SMTP_CONNECT);
    CHECK_INT(outcome.reply, 0);
    CHECK_INT(err_action(err.code), ACTION_RETRY);
    smtp_destroy(&smtp);
}

int main(void)
{
    RUN(plain_text_stays_on_this_machine_unless_allowed);
    RUN(other_urls_are_refused_with_the_forms_that_work);
    RUN(a_bad_address_is_refused_before_anything_is_sent);
    RUN(a_server_that_is_away_is_no_fault_of_the_mail);
    return check_report();
}
