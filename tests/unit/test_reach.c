/* SPDX-License-Identifier: MIT */
#include "tests/unit/check.h"

#include "common/reach.h"

static struct reach reach;

static struct reach_turn begin(bool may)
{
    struct reach_turn turn = reach_begin(&reach);
    CHECK_INT(turn.may, may);
    return turn;
}

static void everybody_may_ask_a_server_that_is_there(void)
{
    reach = (struct reach){0};
    struct reach_turn one = begin(true), other = begin(true);
    reach_end(&reach, &one, true);
    reach_end(&reach, &other, true);
    begin(true);
}

static void one_at_a_time_tries_a_server_that_is_away(void)
{
    reach = (struct reach){0};
    struct reach_turn turn = begin(true);
    reach_end(&reach, &turn, false);
    turn = begin(true);
    begin(false);
    begin(false);
    reach_end(&reach, &turn, false);
    turn = begin(true);
    begin(false);
    reach_end(&reach, &turn, true);
    begin(true);
    begin(true);
}

static void who_waits_in_vain_while_others_are_answered_proves_nothing(void)
{
    reach = (struct reach){0};
    struct reach_turn late = begin(true), other = begin(true);
    reach_end(&reach, &other, true);
    reach_end(&reach, &late, false);
    begin(true);
    begin(true);
}

static void an_answer_to_whoever_asked_before_opens_the_way_for_all(void)
{
    reach = (struct reach){0};
    struct reach_turn early = begin(true), turn = begin(true);
    reach_end(&reach, &turn, false);
    turn = begin(true);
    begin(false);
    reach_end(&reach, &early, true);
    begin(true);
    reach_end(&reach, &turn, false);
    begin(true);
    begin(true);
}

int main(void)
{
    RUN(everybody_may_ask_a_server_that_is_there);
    RUN(one_at_a_time_tries_a_server_that_is_away);
    RUN(who_waits_in_vain_while_others_are_answered_proves_nothing);
    RUN(an_answer_to_whoever_asked_before_opens_the_way_for_all);
    return check_report();
}
