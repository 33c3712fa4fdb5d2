/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/problem.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

static void a_problem_names_field_and_limit(void)
{
    struct buf out;
    buf_init(&out, 4096);
    CHECK_INT(problem_write(&out, &(struct problem){.kind = PROBLEM_INVALID,
                                                    .detail = "too \"wide\"",
                                                    .field = "crop.width",
                                                    .limit = 512,
                                                    .job = "00ab"}),
              0);
    CHECK_HAS(buf_text(&out), "\"type\":\"/problems/invalid\"");
    CHECK_HAS(buf_text(&out), "\"status\":422");
    CHECK_HAS(buf_text(&out), "\"detail\":\"too \\\"wide\\\"\"");
    CHECK_HAS(buf_text(&out), "\"field\":\"crop.width\"");
    CHECK_HAS(buf_text(&out), "\"limit\":512");
    CHECK_HAS(buf_text(&out), "\"job\":\"00ab\"");
    buf_fini(&out);
}

static void members_that_say_nothing_are_left_out(void)
{
    struct buf out;
    buf_init(&out, 4096);
    CHECK_INT(problem_write(&out, &(struct problem){.kind = PROBLEM_NOT_FOUND, .field = ""}), 0);
    CHECK(!strstr(buf_text(&out), "field"));
    CHECK(!strstr(buf_text(&out), "limit"));
    CHECK(!strstr(buf_text(&out), "null"));
    buf_fini(&out);
}

static void every_code_has_a_status(void)
{
    for (int code = ERR_INTERNAL; code < 0; code++)
        CHECK(problem_status(problem_of(code)) >= 400);
    CHECK_INT(problem_status(problem_of(ERR_UNAVAILABLE)), 503);
    CHECK_INT(problem_status(problem_of(ERR_CORRUPT)), 422);
    CHECK_INT(problem_status(problem_of(ERR_DENIED)), 403);
    CHECK_INT(problem_status(PROBLEM_TOO_LARGE), 413);
}

int main(void)
{
    RUN(a_problem_names_field_and_limit);
    RUN(members_that_say_nothing_are_left_out);
    RUN(every_code_has_a_status);
    return check_report();
}
