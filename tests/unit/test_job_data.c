/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/job_data.h"

#include "common/catalogue.h"
#include "common/err.h"
#include "tests/unit/check.h"

#include <string.h>

static void check_words(const struct catalogue *catalogue, const char *code)
{
    size_t count;
    const struct catalogue_language *languages = catalogue_languages(catalogue, &count);
    for (size_t i = 0; i < count; i++) {
        const char *text = catalogue_text(&languages[i], job_failure_text(code));
        CHECK(text && *text);
    }
}

static void every_way_to_fail_has_words_in_every_language(void)
{
    static const char *const of_the_queue[] = {
        "deadline", "parent_failed", "crashed", "unknown", "", "<b>"};
    struct catalogue *catalogue = NULL;
    CHECK_INT(catalogue_open(&catalogue, NULL), 0);
    for (size_t i = 0; i < sizeof of_the_queue / sizeof of_the_queue[0]; i++)
        check_words(catalogue, of_the_queue[i]);
    for (int code = ERR_OK; code >= ERR_INTERNAL; code--)
        check_words(catalogue, err_name(code));
    catalogue_close(&catalogue);
}

static void what_a_visitor_can_mend_is_told_apart_from_what_is_ours(void)
{
    CHECK_TEXT(job_failure_text("corrupt"), "status.fail_corrupt");
    CHECK_TEXT(job_failure_text(err_name(ERR_UNSUPPORTED)), "status.fail_unsupported");
    CHECK_TEXT(job_failure_text(err_name(ERR_LIMIT)), "status.fail_limit");
    CHECK_TEXT(job_failure_text(err_name(ERR_TIMEOUT)), "status.fail_timeout");
    CHECK_TEXT(job_failure_text(err_name(ERR_DEVICE)), "status.fail_other");
    CHECK_TEXT(job_failure_text(err_name(ERR_INTERNAL)), "status.fail_other");
}

int main(void)
{
    RUN(every_way_to_fail_has_words_in_every_language);
    RUN(what_a_visitor_can_mend_is_told_apart_from_what_is_ours);
    return check_report();
}
