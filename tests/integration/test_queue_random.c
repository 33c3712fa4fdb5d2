/* SPDX-License-Identifier: MIT
 *
 * Random verbs in random order, with lost replies and dying workers, and after every few of them
 * the invariants: each record is in exactly one of lane, delay, lease and terminal, nothing else is
 * in there, and the counters agree. DARKROOM_SEED repeats a run.
 * One flow is an account, whose jobs are listed; two have limits, which change now and then. */
#include "common/queue_limits.h"
#include "common/queue_list.h"
#include "common/queue_operate.h"

#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#define JOBS_MAX 400
#define STEPS 3000
#define HELD_MAX 64
#define ACCOUNT "a0123456789abcdef"
#define FEW "few"   /* may run few jobs at once */
#define SLOW "slow" /* may start few jobs a minute */

static uint64_t seed;

static unsigned dice(unsigned sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % sides);
}

struct world {
    char ids[JOBS_MAX][ID_PUBLIC_SIZE];
    bool erased[JOBS_MAX];
    int jobs;
    struct queue_claimed held[HELD_MAX]; /* what the workers believe */
    int held_count;
    int completed[JOBS_MAX]; /* completions that were accepted */
};

static int index_of(const struct world *world, const char *id)
{
    for (int i = 0; i < world->jobs; i++)
        if (!strcmp(world->ids[i], id))
            return i;
    return -1;
}

/* ---- the invariants ---------------------------------------------------------------------------
 */

static size_t occurrences(struct redis_reply *list, const char *member)
{
    size_t count = 0;
    for (size_t i = 0; i < redis_reply_count(list); i++)
        count += !strcmp(redis_reply_text(redis_reply_at(list, i)), member);
    return count;
}

struct tally {
    int64_t states[7]; /* by enum job_state */
    int64_t listed;    /* of the account */
};

static bool is_there(const char *command, const char *key, const char *member)
{
    struct redis_reply *reply = raw(command, key, member, NULL);
    bool there = redis_reply_type(reply) == REDIS_TEXT;
    redis_reply_free(&reply);
    return there;
}

/* Where a job of this state must be, and that it is nowhere else. */
static void check_job(const struct queue_job *job, struct redis_reply *const places[4],
                      struct redis_reply *lane)
{
    char id[13];
    snprintf(id, sizeof id, "%.12s", job->public_id + 2);
    size_t in_lane = occurrences(lane, id);
    CHECK_INT(in_lane, job->state == JOB_QUEUED ? 1 : in_lane); /* else: a dead place, see below */
    CHECK_INT(occurrences(places[0], id), job->state == JOB_DELAYED);
    CHECK_INT(occurrences(places[1], id), job->state == JOB_RUNNING);
    CHECK_INT(occurrences(places[2], id), job->state == JOB_RUNNING);
    CHECK_INT(occurrences(places[3], id), job_state_is_final(job->state));
}

static void lane_key(char key[128], const char *kind, const struct queue_job *job)
{
    snprintf(key, 128, "{q:00}%s:m:%d:%s", kind, (int)job->priority, job->flow);
}

static void check_lanes(const struct tally *tally)
{
    struct redis_reply *keys = raw("KEYS", "{q:00}r:*", NULL);
    int64_t alive = 0, in_ring = 0;
    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        const char *lane = redis_reply_text(redis_reply_at(keys, i));
        char tomb[128], ring[128], tail[128];
        const char *rest = lane + strlen("{q:00}r:");
        snprintf(tomb, sizeof tomb, "{q:00}tomb:%s", rest);
        snprintf(ring, sizeof ring, "{q:00}ring:%.3s", rest);
        snprintf(tail, sizeof tail, "{q:00}tail:%.3s", rest);
        int64_t length = raw_int("LLEN", lane), tombs = raw_int("ZCARD", tomb);
        CHECK(length > tombs);
        alive += length - tombs;
        CHECK(is_there("HGET", tail, rest + 4));
        /* In the ring, or parked with somebody to look at it. */
        char parked[128], set[4];
        snprintf(set, sizeof set, "%.3s", rest);
        snprintf(parked, sizeof parked, "{q:00}parked:%s", rest + 4);
        bool turns = is_there("ZSCORE", ring, rest + 4);
        CHECK(turns ||
              (is_there("HGET", parked, set) && is_there("ZSCORE", "{q:00}park", rest + 4)));
        in_ring += turns;
    }
    CHECK_INT(alive, tally->states[JOB_QUEUED]);
    CHECK_INT(raw_int("ZCARD", "{q:00}ring:m:0") + raw_int("ZCARD", "{q:00}ring:m:1") +
                  raw_int("ZCARD", "{q:00}ring:m:2"),
              in_ring);
    redis_reply_free(&keys);
}

/* Whoever counts against a limit runs. */
static void check_held(struct redis_reply *runs)
{
    struct redis_reply *held = raw("SMEMBERS", "{q:00}held:" FEW, NULL);
    for (size_t i = 0; i < redis_reply_count(held); i++)
        CHECK_INT(occurrences(runs, redis_reply_text(redis_reply_at(held, i))), 1);
    redis_reply_free(&held);
}

static void check_list(const struct tally *tally)
{
    struct redis_command command;
    int64_t cursor = -1, found = 0;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    do {
        struct redis_reply *reply = NULL;
        queue_list_command(&queue, ACCOUNT, cursor, 20, &command);
        CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
        found += (int64_t)queue_list_count(reply);
        cursor = queue_list_next(reply);
        redis_reply_free(&reply);
    } while (cursor >= 0);
    redis_command_fini(&command);
    CHECK_INT(found, tally->listed);
}

static void check_world(const struct world *world)
{
    struct tally tally = {{0}};
    struct queue_counters counters;
    struct redis_reply *places[4] = {raw("ZRANGE", "{q:00}delay", "0", "-1", NULL),
                                     raw("ZRANGE", "{q:00}lease", "0", "-1", NULL),
                                     raw("HKEYS", "{q:00}run", NULL),
                                     raw("ZRANGE", "{q:00}done", "0", "-1", NULL)};
    for (int i = 0; i < world->jobs; i++) {
        struct queue_job job;
        if (world->erased[i]) {
            CHECK_INT(queue_get(&queue, redis, world->ids[i], CALL_MS, &job, NULL), ERR_NOT_FOUND);
            continue;
        }
        job = get_job(world->ids[i]);
        char key[128];
        lane_key(key, "r", &job);
        struct redis_reply *lane = raw("LRANGE", key, "0", "-1", NULL);
        check_job(&job, places, lane);
        redis_reply_free(&lane);
        tally.states[job.state]++;
        tally.listed += !strcmp(job.flow, ACCOUNT);
        CHECK(world->completed[i] <= 1);
        CHECK_INT(job.state == JOB_SUCCEEDED, world->completed[i]);
    }
    /* Nothing is in a place without a record that says so. */
    CHECK_INT(redis_reply_count(places[0]), tally.states[JOB_DELAYED]);
    CHECK_INT(redis_reply_count(places[1]), tally.states[JOB_RUNNING]);
    CHECK_INT(redis_reply_count(places[2]), tally.states[JOB_RUNNING]);
    CHECK_INT(redis_reply_count(places[3]),
              tally.states[JOB_SUCCEEDED] + tally.states[JOB_FAILED] + tally.states[JOB_CANCELLED]);
    check_lanes(&tally);
    check_held(places[2]);
    check_list(&tally);
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.queued, tally.states[JOB_QUEUED]);
    CHECK_INT(counters.running, tally.states[JOB_RUNNING]);
    CHECK_INT(counters.delayed, tally.states[JOB_DELAYED]);
    struct redis_reply *total = raw("HMGET", "{q:00}c:", "queued", "delayed", NULL);
    CHECK_INT(redis_reply_int(redis_reply_at(total, 0)), tally.states[JOB_QUEUED]);
    CHECK_INT(redis_reply_int(redis_reply_at(total, 1)), tally.states[JOB_DELAYED]);
    redis_reply_free(&total);
    for (int i = 0; i < 4; i++)
        redis_reply_free(&places[i]);
}

/* ---- the verbs ---------------------------------------------------------------------------------
 */

static void do_submit(struct world *world)
{
    static const char *const flows[] = {ACCOUNT, FEW, SLOW, "d"};
    if (world->jobs == JOBS_MAX)
        return;
    struct queue_submit job = job_of(flows[dice(4)], world->ids[world->jobs]);
    job.priority = (enum job_priority)dice(3);
    job.weight = dice(2) ? 1 : 2;
    job.max_attempts = 2;
    if (dice(8) == 0)
        job.run_at_ms = clock_wall_ms() + dice(20);
    if (dice(6) == 0)
        job.deadline_after_ms = 1 + dice(300);
    if (dice(6) == 0)
        job.run_max_ms = 100;
    submit_job(&job);
    if (dice(4) == 0)
        CHECK(submit_job(&job).repeated);
    world->jobs++;
}

static void do_claim(struct world *world)
{
    char nonce[ID_NAME_SIZE];
    const char *worker = dice(2) ? "w-1" : "w-2";
    id_nonce_create(nonce);
    size_t max = 1 + dice(6);
    struct queue_claim claim = claim_with(worker, nonce, max);
    if (dice(4) == 0) {
        /* The reply is lost; or the worker dies with it. */
        queue_claim_fini(&claim);
        if (dice(2))
            return;
        claim = claim_with(worker, nonce, max);
    }
    for (size_t i = 0; i < claim.count; i++) {
        int at = world->held_count < HELD_MAX ? world->held_count++ : (int)dice(HELD_MAX);
        world->held[at] = claim.jobs[i];
    }
    queue_claim_fini(&claim);
}

static struct queue_claimed take_held(struct world *world, bool keep)
{
    int at = (int)dice((unsigned)world->held_count);
    struct queue_claimed job = world->held[at];
    if (!keep)
        world->held[at] = world->held[--world->held_count];
    return job;
}

/* Often enough, what was settled is settled again. */
static void do_settle(struct world *world)
{
    enum job_state state;
    if (world->held_count == 0)
        return;
    struct queue_claimed job = take_held(world, dice(3) == 0);
    struct queue_lease lease = {job.id, job.epoch};
    switch (dice(5)) {
    case 0: fail_job(&job, true, &state); break;
    case 1: fail_job(&job, dice(2), &state); break;
    case 2:
        CHECK_INT(queue_release(&queue, redis, "w-1", &lease, 1, dice(2), CALL_MS, &err), 0);
        break;
    default:
        if (complete_job(&job) == QUEUE_OK)
            world->completed[index_of(world, job.public_id)]++;
    }
}

static void do_cancel_or_erase(struct world *world)
{
    if (world->jobs == 0)
        return;
    int which = (int)dice((unsigned)world->jobs);
    bool found;
    if (world->erased[which])
        return;
    if (dice(2)) {
        cancel_job(world->ids[which]);
        return;
    }
    CHECK_INT(queue_erase(&queue, redis, world->ids[which], CALL_MS, &found, &err), 0);
    CHECK(found);
    world->erased[which] = true;
    world->completed[which] = 0;
}

static void do_beat(struct world *world)
{
    if (world->held_count) {
        struct queue_claimed job = take_held(world, true);
        beat("w-1", &job, (int)dice(1000));
    }
}

static void do_limit(void)
{
    CHECK_INT(queue_flow_limits(&queue, redis, FEW, dice(4), 0, CALL_MS, &err), 0);
    CHECK_INT(queue_flow_limits(&queue, redis, SLOW, 0, dice(3) * 3000, CALL_MS, &err), 0);
}

static void do_replay(const struct world *world)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    if (world->jobs == 0)
        return;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_replay_command(&queue, world->ids[dice((unsigned)world->jobs)], &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    redis_reply_free(&reply);
    redis_command_fini(&command);
}

/* Scripts vanish, connections break: the next call must not notice. */
static void do_damage(void)
{
    if (dice(2))
        forget_scripts();
    else
        RAW("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no");
}

static void do_tick(void)
{
    struct queue_ticked ticked;
    CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked, &err), 0);
    nap();
}

static void every_record_is_in_exactly_one_place(void)
{
    static struct world world;
    const char *given = getenv("DARKROOM_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_us() | 1;
    printf("# DARKROOM_SEED=%llu\n", (unsigned long long)seed);
    begin(60);
    for (int step = 0; step < STEPS; step++) {
        unsigned what = dice(100);
        if (what < 22)
            do_submit(&world);
        else if (what < 45)
            do_claim(&world);
        else if (what < 72)
            do_settle(&world);
        else if (what < 78)
            do_cancel_or_erase(&world);
        else if (what < 87)
            do_beat(&world);
        else if (what < 88)
            do_damage();
        else if (what < 90)
            do_replay(&world);
        else if (what < 91)
            do_limit();
        else
            do_tick();
        if (step % 100 == 99)
            check_world(&world);
    }
    /* Left alone, everything comes to an end. */
    int64_t deadline_ms = clock_ms() + 60000;
    struct queue_counters counters = {.queued = 1};
    while (counters.queued + counters.running + counters.delayed > 0) {
        CHECK(clock_ms() < deadline_ms);
        do_tick();
        struct queue_claim claim = claim_up_to("w-3", 32);
        for (size_t i = 0; i < claim.count; i++)
            if (complete_job(&claim.jobs[i]) == QUEUE_OK)
                world.completed[index_of(&world, claim.jobs[i].public_id)]++;
        queue_claim_fini(&claim);
        CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    }
    check_world(&world);
    CHECK_INT(raw_int("EXISTS", "{q:00}corrupt"), 0);
}

int main(void)
{
    fixture_start(NULL);
    RUN(every_record_is_in_exactly_one_place);
    fixture_stop();
    return check_report();
}
