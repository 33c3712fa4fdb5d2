/* SPDX-License-Identifier: MIT */
#include "worker/away.h"

#include "tests/unit/check.h"
#include "worker/task.h"

static struct task *make(unsigned shard, uint64_t id)
{
    struct task *task = task_create();
    task->shard = shard;
    task->id = id;
    return task;
}

/* Destroys them. */
static void check_ids(struct task *task, const uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(task);
        CHECK_INT(task->id, ids[i]);
        struct task *next = task->next;
        task_destroy(&task);
        task = next;
    }
    CHECK(!task);
}

static void only_what_belongs_to_a_lost_shard_is_kept(void)
{
    struct away *away = away_create();
    struct task *here = make(0, 1);
    CHECK(!away_keep(away, here));
    CHECK(!away_set(away, 1, true));
    CHECK(!away_keep(away, here));
    CHECK(away_keep(away, make(1, 2)));
    CHECK(away_is(away, 1) && !away_is(away, 0));
    CHECK_INT(away_count(away), 1);
    task_destroy(&here);
    away_destroy(&away);
}

static void who_waited_for_a_shard_comes_back_in_order(void)
{
    struct away *away = away_create();
    away_set(away, 1, true);
    away_set(away, 2, true);
    for (uint64_t id = 0; id < 6; id++)
        CHECK(away_keep(away, make(1 + id % 2, id)));
    check_ids(away_set(away, 2, false), (const uint64_t[]){1, 3, 5}, 3);
    CHECK_INT(away_count(away), 3);
    CHECK(away_keep(away, make(1, 6)));
    check_ids(away_set(away, 1, false), (const uint64_t[]){0, 2, 4, 6}, 4);
    CHECK(!away_set(away, 1, false));
    CHECK_INT(away_count(away), 0);
    away_destroy(&away);
}

static void nobody_is_kept_once_a_drain_has_begun(void)
{
    struct away *away = away_create();
    struct task *late = make(1, 2);
    away_set(away, 1, true);
    CHECK(away_keep(away, make(1, 1)));
    check_ids(away_end(away), (const uint64_t[]){1}, 1);
    CHECK(!away_keep(away, late));
    away_set(away, 1, true);
    CHECK(!away_keep(away, late));
    CHECK(!away_end(away));
    task_destroy(&late);
    away_destroy(&away);
}

int main(void)
{
    RUN(only_what_belongs_to_a_lost_shard_is_kept);
    RUN(who_waited_for_a_shard_comes_back_in_order);
    RUN(nobody_is_kept_once_a_drain_has_begun);
    return check_report();
}
