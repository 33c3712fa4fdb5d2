/* SPDX-License-Identifier: MIT */
#include "common/err.h"

#include "tests/unit/check.h"

static void the_first_cause_survives(void)
{
    struct err err = {0};
    CHECK_INT(err_set(&err, ERR_CORRUPT, "input", "cut off at %d", 7), ERR_CORRUPT);
    CHECK_INT(err_set(&err, ERR_IO, NULL, "while reading"), ERR_IO);
    CHECK_INT(err.code, ERR_CORRUPT);
    CHECK_TEXT(err.field, "input");
    CHECK_TEXT(err.text, "cut off at 7");
}

static void a_text_stays_one_line(void)
{
    struct err err = {0};
    err_set(&err, ERR_INVALID, NULL, "bad name '%s'", "a\r\nb");
    CHECK_TEXT(err.text, "bad name 'a  b'");
}

static void every_code_has_a_name_and_an_action(void)
{
    for (int code = ERR_SELF_TEST; code <= ERR_OK; code++)
        CHECK(err_name(code) != NULL);
    CHECK_INT(err_action(ERR_UNAVAILABLE), ACTION_RETRY);
    CHECK_INT(err_action(ERR_CORRUPT), ACTION_BURY);
    CHECK_INT(err_action(ERR_DEVICE), ACTION_DIE);
    CHECK_INT(err_action(ERR_LOST), ACTION_NONE);
}

int main(void)
{
    RUN(the_first_cause_survives);
    RUN(a_text_stays_one_line);
    RUN(every_code_has_a_name_and_an_action);
    return check_report();
}
