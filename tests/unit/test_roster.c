/* SPDX-License-Identifier: MIT */
#include "worker/roster.h"

#include "common/clock.h"
#include "tests/unit/check.h"
#include "worker/resident.h"

#include <poll.h>
#include <pthread.h>

static struct task *make(uint64_t id, uint32_t epoch)
{
    struct task *task = task_create();
    task->id = id;
    task->epoch = epoch;
    return task;
}

static bool is_readable(int fd)
{
    struct pollfd waited = {.fd = fd, .events = POLLIN};
    return poll(&waited, 1, 0) == 1;
}

static void a_lease_takes_room_until_it_leaves(void)
{
    struct roster *roster = roster_create(2);
    struct task *a = make(1, 1), *b = make(2, 1);
    CHECK_INT(roster_room(roster), 2);
    roster_add(roster, a);
    roster_add(roster, b);
    CHECK_INT(roster_room(roster), 0);
    CHECK(!is_readable(roster_change_fd(roster)));
    roster_remove(roster, a);
    CHECK(is_readable(roster_change_fd(roster)));
    roster_take_change(roster);
    CHECK(!is_readable(roster_change_fd(roster)));
    CHECK_INT(roster_room(roster), 1);
    CHECK_INT(roster_count(roster), 1);
    roster_remove(roster, b);
    task_destroy(&a);
    task_destroy(&b);
    roster_destroy(&roster);
}

static void a_verdict_reaches_only_the_lease_with_that_epoch(void)
{
    struct roster_lease leases[4];
    struct roster *roster = roster_create(4);
    struct task *a = make(1, 1), *b = make(1, 2);
    roster_add(roster, a);
    roster_add(roster, b);
    roster_judge(roster, 0, 1, 2, TASK_CANCELLED);
    roster_judge(roster, 0, 1, 3, TASK_LOST);
    CHECK_INT(task_verdict(a), TASK_ON);
    CHECK_INT(task_verdict(b), TASK_CANCELLED);
    roster_judge(roster, 0, 1, 2, TASK_LOST);
    CHECK_INT(task_verdict(b), TASK_CANCELLED);
    CHECK_INT(roster_list(roster, 0, TASK_ON, leases, 4), 1);
    CHECK_INT(leases[0].epoch, 1);
    task_destroy(&a);
    task_destroy(&b);
    roster_destroy(&roster);
}

static void a_task_past_its_limit_in_the_network_is_no_longer_renewed(void)
{
    struct roster_lease leases[2];
    struct roster *roster = roster_create(2);
    struct task *late = make(1, 1), *early = make(2, 1);
    late->limit_ms = 50;
    late->in_network_ms = clock_ms() - 60;
    early->limit_ms = 50;
    roster_add(roster, late);
    roster_add(roster, early);
    CHECK_INT(roster_list(roster, 0, TASK_ON, leases, 2), 1);
    CHECK_INT(leases[0].id, 2);
    CHECK_INT(task_verdict(late), TASK_TIMED_OUT);
    CHECK(task_is_over(late));
    CHECK_INT(roster_list(roster, 0, TASK_TIMED_OUT, leases, 2), 1);
    CHECK_INT(leases[0].id, 1);
    CHECK(!roster_is_stuck(roster));
    late->in_network_ms = clock_ms() - 100;
    CHECK(roster_is_stuck(roster));
    task_destroy(&late);
    task_destroy(&early);
    roster_destroy(&roster);
}

static void what_has_not_begun_is_given_back_in_the_order_of_the_claim(void)
{
    struct queue_lease leases[8];
    struct roster *roster = roster_create(5);
    struct task *tasks[5];
    for (uint64_t i = 0; i < 5; i++) {
        tasks[i] = make(10 + i, 1);
        tasks[i]->claimed_us = (int64_t)(100 + i);
    }
    for (int i = 4; i >= 0; i--)
        roster_add(roster, tasks[i]);
    CHECK(roster_begin(roster, tasks[1]));
    roster_judge(roster, 0, 13, 1, TASK_LOST);
    CHECK_INT(roster_release(roster, 0, leases, 8), 3);
    CHECK_INT(leases[0].id, 10);
    CHECK_INT(leases[1].id, 12);
    CHECK_INT(leases[2].id, 14);
    CHECK_INT(task_verdict(tasks[0]), TASK_RELEASED);
    CHECK_INT(task_verdict(tasks[1]), TASK_ON);
    CHECK(!roster_begin(roster, tasks[0]));
    CHECK_INT(roster_release(roster, 0, leases, 8), 0);
    for (int i = 0; i < 5; i++)
        task_destroy(&tasks[i]);
    roster_destroy(&roster);
}

struct sleeper {
    struct roster *roster;
    struct task *task;
    enum task_verdict verdict;
};

static void *sleep_long(void *argument)
{
    struct sleeper *sleeper = argument;
    sleeper->verdict = roster_sleep(sleeper->roster, sleeper->task, 3600000);
    return NULL;
}

static void a_verdict_ends_the_sleep_beside_its_task(void)
{
    struct roster *roster = roster_create(1);
    struct sleeper sleeper = {roster, make(7, 1), TASK_ON};
    pthread_t thread;
    roster_add(roster, sleeper.task);
    pthread_create(&thread, NULL, sleep_long, &sleeper);
    roster_judge(roster, 0, 7, 1, TASK_LOST);
    pthread_join(thread, NULL);
    CHECK_INT(sleeper.verdict, TASK_LOST);
    task_destroy(&sleeper.task);
    roster_destroy(&roster);
}

static void hurrying_ends_every_sleep(void)
{
    struct roster *roster = roster_create(1);
    struct sleeper sleeper = {roster, NULL, TASK_LOST};
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_long, &sleeper);
    roster_hurry(roster);
    pthread_join(thread, NULL);
    CHECK_INT(sleeper.verdict, TASK_ON);
    CHECK(roster_is_hurried(roster));
    CHECK_INT(roster_sleep(roster, NULL, 3600000), TASK_ON);
    roster_destroy(&roster);
}

static void a_short_sleep_ends_by_itself(void)
{
    struct roster *roster = roster_create(1);
    int64_t before_ms = clock_ms();
    CHECK_INT(roster_sleep(roster, NULL, 20), TASK_ON);
    CHECK(clock_ms() - before_ms >= 20);
    roster_destroy(&roster);
}

static void only_what_is_in_the_network_past_the_end_is_not_waited_for(void)
{
    const struct manifest manifest = {.cost_ms = 1000};
    struct resident resident = {.manifest = &manifest};
    struct roster *roster = roster_create(4);
    struct task *a = make(1, 1), *b = make(2, 1), *c = make(3, 1);
    a->resident = b->resident = c->resident = &resident;
    CHECK(!roster_outlasts(roster, 0));
    roster_add(roster, a);
    CHECK(!roster_outlasts(roster, 0)); /* not in there yet */
    atomic_store(&a->in_network_ms, 500);
    CHECK(roster_outlasts(roster, 1499));
    CHECK(!roster_outlasts(roster, 1500));
    roster_add(roster, b);
    atomic_store(&b->in_network_ms, 500); /* the same batch: twice the time */
    CHECK(roster_outlasts(roster, 2499));
    CHECK(!roster_outlasts(roster, 2500));
    roster_judge(roster, 0, 2, 1, TASK_CANCELLED);
    CHECK(!roster_outlasts(roster, 1500));
    roster_add(roster, c);
    CHECK(roster_begin(roster, c));
    CHECK(roster_outlasts(roster, 1000)); /* still before the network */
    atomic_store(&c->progress_permille, 800);
    CHECK(!roster_outlasts(roster, 1000)); /* behind it: worth waiting for */
    task_destroy(&a);
    task_destroy(&b);
    task_destroy(&c);
    roster_destroy(&roster);
}

int main(void)
{
    RUN(a_lease_takes_room_until_it_leaves);
    RUN(a_verdict_reaches_only_the_lease_with_that_epoch);
    RUN(a_task_past_its_limit_in_the_network_is_no_longer_renewed);
    RUN(what_has_not_begun_is_given_back_in_the_order_of_the_claim);
    RUN(a_verdict_ends_the_sleep_beside_its_task);
    RUN(hurrying_ends_every_sleep);
    RUN(a_short_sleep_ends_by_itself);
    RUN(only_what_is_in_the_network_past_the_end_is_not_waited_for);
    return check_report();
}
