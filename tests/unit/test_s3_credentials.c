/* SPDX-License-Identifier: MIT */
#include "common/s3_credentials.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <sys/stat.h>
#include <unistd.h>

static struct s3_credentials credentials;
static struct err err;

static int parse(const char *text)
{
    err = (struct err){0};
    credentials = (struct s3_credentials){.access_key = ""};
    return s3_credentials_parse(text, strlen(text), &credentials, &err);
}

static void two_lines_are_access_key_and_secret_key(void)
{
    CHECK_INT(parse("AKIA123\nse/cret+key==\n"), 0);
    CHECK_TEXT(credentials.access_key, "AKIA123");
    CHECK_TEXT(credentials.secret_key, "se/cret+key==");
    CHECK_TEXT(credentials.session_token, "");
    CHECK_INT(parse("# comment\r\n\n  AKIA123 \r\n\tsecret\t\r\n"), 0);
    CHECK_TEXT(credentials.access_key, "AKIA123");
    CHECK_TEXT(credentials.secret_key, "secret");
}

static void the_default_section_of_an_ini_file_counts(void)
{
    CHECK_INT(parse("[other]\naws_access_key_id = WRONG\naws_secret_access_key = WRONG\n"
                    "[default]\nregion = x\naws_access_key_id=AKIA123\n"
                    "aws_secret_access_key = se=cret\naws_session_token = tok\n[third]\n"
                    "aws_access_key_id = WRONG\n"),
              0);
    CHECK_TEXT(credentials.access_key, "AKIA123");
    CHECK_TEXT(credentials.secret_key, "se=cret");
    CHECK_TEXT(credentials.session_token, "tok");
    CHECK_INT(parse("aws_access_key_id = A\naws_secret_access_key = B\n"), 0);
    CHECK_TEXT(credentials.secret_key, "B");
}

static void what_is_incomplete_or_odd_is_refused_without_repeating_it(void)
{
    static const char *const bad[] = {"",
                                      "\n\n",
                                      "AKIAmarker",
                                      "AKIAmarker\n\n",
                                      "AKIAmarker\nsecret\nthird",
                                      "AKIA marker\nsecret",
                                      "AKIAmarker\nsec\x01ret",
                                      "[default]\naws_access_key_id = marker",
                                      "[other]\naws_access_key_id = a\naws_secret_access_key = b",
                                      "[default]\naws_access_key_id =\naws_secret_access_key = b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_INT(parse(bad[i]), ERR_INVALID);
        CHECK(strstr(err.text, "marker") == NULL);
    }
}

static void a_value_that_is_too_long_is_refused(void)
{
    char text[400];
    memset(text, 'A', sizeof text);
    memcpy(text + 129, "\nsecret", 8);
    CHECK_INT(parse(text), ERR_INVALID);
    CHECK_HAS(err.text, "128");
    memcpy(text + 128, "\nsecret", 8);
    CHECK_INT(parse(text), 0);
}

static void every_prefix_is_refused_or_complete(void)
{
    static const char text[] = "[default]\naws_access_key_id = AK\naws_secret_access_key = S\n";
    for (size_t size = 0; size < sizeof text; size++) {
        char *exact = malloc(size + 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, text, size);
        int rc = s3_credentials_parse(exact, size, &credentials, NULL);
        free(exact);
        CHECK(rc == (size >= sizeof text - 2 ? 0 : ERR_INVALID));
    }
}

static void a_file_open_to_all_users_is_refused(void)
{
    char path[] = "/tmp/darkroom-s3-XXXXXX";
    int fd = mkstemp(path);
    CHECK_INT(write(fd, "AKIA\nsecret\n", 12), 12);
    close(fd);
    CHECK_INT(s3_credentials_load(path, &credentials, NULL), 0);
    chmod(path, 0644);
    CHECK_INT(s3_credentials_load(path, &credentials, NULL), ERR_DENIED);
    unlink(path);
    CHECK_INT(s3_credentials_load(path, &credentials, NULL), ERR_NOT_FOUND);
}

int main(void)
{
    RUN(two_lines_are_access_key_and_secret_key);
    RUN(the_default_section_of_an_ini_file_counts);
    RUN(what_is_incomplete_or_odd_is_refused_without_repeating_it);
    RUN(a_value_that_is_too_long_is_refused);
    RUN(every_prefix_is_refused_or_complete);
    RUN(a_file_open_to_all_users_is_refused);
    return check_report();
}
