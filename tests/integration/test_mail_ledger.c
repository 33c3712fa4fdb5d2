/* SPDX-License-Identifier: MIT
 *
 * What all notifiers know together: who wants no mail, how many may go, what became of them. */
#include "common/mail_ledger.h"

#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

static struct mail_answer take(const char *address, const char *id, int64_t per_hour,
                               int64_t quota_hour, int64_t quota_day)
{
    struct mail_answer answer = {.verdict = MAIL_HELD};
    const struct mail_asked asked = {address, "unwanted-id", id, per_hour, quota_hour, quota_day};
    CHECK_INT(mail_ledger_take(redis, &asked, CALL_MS, &answer, &err), 0);
    return answer;
}

static void done(enum mail_event event, const struct mail_answer *answer, int64_t hold_ms,
                 const char *reason)
{
    const struct mail_done what = {event, answer ? answer->taken_ms : 0, hold_ms, reason};
    CHECK_INT(mail_ledger_done(redis, &what, CALL_MS, &err), 0);
}

static struct mail_state state(void)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct mail_state found = {.held_ms = -1};
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    mail_ledger_state_command(&command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(mail_ledger_state_reply(reply, &found, &err), 0);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return found;
}

static void want(bool wanted)
{
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    mail_ledger_want_command("unwanted-id", wanted, 12345, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, NULL, &err), 0);
    redis_command_fini(&command);
}

static void an_address_gets_so_many_mails_an_hour(void)
{
    begin(30000);
    CHECK_INT(take("x", "a", 2, 0, 0).verdict, MAIL_MAY_GO);
    CHECK_INT(take("x", "b", 2, 0, 0).verdict, MAIL_MAY_GO);
    struct mail_answer third = take("x", "c", 2, 0, 0);
    CHECK_INT(third.verdict, MAIL_LIMITED);
    CHECK(third.wait_ms > 3500000 && third.wait_ms <= 3600000);
    CHECK_INT(take("x", "a", 2, 0, 0).verdict, MAIL_MAY_GO); /* a retry is no other mail */
    CHECK_INT(take("y", "d", 2, 0, 0).verdict, MAIL_MAY_GO);
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    mail_ledger_forget_command("x", &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, NULL, &err), 0);
    redis_command_fini(&command);
    CHECK_INT(take("x", "c", 2, 0, 0).verdict, MAIL_MAY_GO);
}

static void who_unsubscribed_gets_none_until_that_is_undone(void)
{
    begin(30000);
    want(false);
    want(false);
    CHECK_INT(take("x", "a", 2, 0, 0).verdict, MAIL_UNWANTED);
    CHECK_INT(state().unwanted, 1);
    want(true);
    want(true);
    CHECK_INT(take("x", "a", 2, 0, 0).verdict, MAIL_MAY_GO);
    CHECK_INT(state().unwanted, 0);
}

static void at_the_quota_mail_waits_and_everybody_can_see_it(void)
{
    begin(30000);
    CHECK_INT(take("x", "a", 9, 2, 0).verdict, MAIL_MAY_GO);
    CHECK_INT(take("y", "b", 9, 2, 0).verdict, MAIL_MAY_GO);
    CHECK_INT(state().held_ms, 0);
    struct mail_answer third = take("z", "c", 9, 2, 0);
    CHECK_INT(third.verdict, MAIL_HELD);
    CHECK(third.wait_ms > 3500000 && third.wait_ms <= 3660000);
    CHECK(state().held_ms > 3500000);
    CHECK_INT(state().counts[MAIL_EVENT_HELD], 1);
    CHECK_INT(take("z", "c", 9, 0, 0).verdict, MAIL_HELD); /* whoever asks */
    CHECK_INT(state().counts[MAIL_EVENT_HELD], 1);
    RAW("DEL", "{k}mailhold"); /* an operator has bought more */
    CHECK_INT(take("z", "c", 9, 3, 0).verdict, MAIL_MAY_GO);
}

static void a_day_has_a_quota_too(void)
{
    begin(30000);
    CHECK_INT(take("x", "a", 9, 100, 1).verdict, MAIL_MAY_GO);
    struct mail_answer second = take("y", "b", 9, 100, 1);
    CHECK_INT(second.verdict, MAIL_HELD);
    CHECK(second.wait_ms > 24 * 3600000 - 60000 && second.wait_ms <= 24 * 3600000 + 900000);
}

static void what_was_not_sent_is_given_back(void)
{
    begin(30000);
    struct mail_answer first = take("x", "a", 9, 1, 1);
    done(MAIL_EVENT_4XX, &first, 0, "451 later");
    struct mail_answer again = take("x", "a", 9, 1, 1);
    CHECK_INT(again.verdict, MAIL_MAY_GO);
    done(MAIL_EVENT_SENT, &again, 0, NULL);
    CHECK_INT(take("x", "b", 9, 1, 1).verdict, MAIL_HELD);
    struct mail_state now = state();
    CHECK_INT(now.counts[MAIL_EVENT_SENT], 1);
    CHECK_INT(now.counts[MAIL_EVENT_4XX], 1);
    CHECK_TEXT(now.reason, "451 later");
    CHECK(now.reason_ms > 0);
}

static void a_server_that_takes_no_more_holds_all_mails_for_a_while(void)
{
    begin(30000);
    struct mail_answer first = take("x", "a", 9, 0, 0);
    done(MAIL_EVENT_4XX, &first, 50, "452 enough");
    CHECK(state().held_ms > 0);
    int64_t deadline_ms = clock_ms() + 5000;
    while (take("y", "b", 9, 0, 0).verdict == MAIL_HELD) {
        CHECK(clock_ms() < deadline_ms);
        nap();
    }
    CHECK_INT(state().held_ms, 0);
}

static void the_counts_leave_nothing_for_good(void)
{
    begin(30000);
    struct mail_answer answer = take("x", "a", 9, 5, 5);
    done(MAIL_EVENT_SENT, &answer, 0, NULL);
    struct redis_reply *keys = raw("KEYS", "{k}mail*", NULL);
    CHECK(redis_reply_count(keys) >= 4);
    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        const char *key = redis_reply_text(redis_reply_at(keys, i));
        CHECK(!strcmp(key, "{k}mails") || raw_int("PTTL", key) > 0);
    }
    redis_reply_free(&keys);
}

static int findings;

static void on_finding(const char *name, const char *what, bool mended, void *data)
{
    CHECK(!strncmp(name, "{k}", 3) && what[0]);
    CHECK_INT(mended, *(const bool *)data);
    findings++;
}

static int fsck(bool mend)
{
    findings = 0;
    CHECK_INT(mail_ledger_fsck(redis, mend, CALL_MS, on_finding, &mend, &err), 0);
    return findings;
}

static void what_would_stop_all_mails_is_found_and_put_aside(void)
{
    begin(30000);
    CHECK_INT(fsck(false), 0);
    struct mail_answer first = take("x", "a", 9, 0, 0);
    done(MAIL_EVENT_4XX, &first, 60000, "452 enough");
    CHECK_INT(fsck(false), 0);
    RAW("PERSIST", "{k}mailhold");
    RAW("SET", "{k}unwanted", "text");
    CHECK_INT(fsck(false), 2);
    CHECK_INT(fsck(true), 2);
    CHECK_INT(fsck(false), 0);
    CHECK_INT(take("x", "a", 9, 0, 0).verdict, MAIL_MAY_GO);
}

int main(void)
{
    fixture_start(NULL);
    RUN(an_address_gets_so_many_mails_an_hour);
    RUN(who_unsubscribed_gets_none_until_that_is_undone);
    RUN(at_the_quota_mail_waits_and_everybody_can_see_it);
    RUN(a_day_has_a_quota_too);
    RUN(what_was_not_sent_is_given_back);
    RUN(a_server_that_takes_no_more_holds_all_mails_for_a_while);
    RUN(the_counts_leave_nothing_for_good);
    RUN(what_would_stop_all_mails_is_found_and_put_aside);
    fixture_stop();
    return check_report();
}
