/* SPDX-License-Identifier: MIT */
#include "common/queue_limits.h"
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#define WORKER "w-00000000000000000000000000000001"

/* ---- time and priority ----------------------------------------------------------------------- */

static void a_delayed_job_waits_for_its_time(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    job.run_at_ms = clock_wall_ms() + 3600000;
    CHECK_INT(submit_job(&job).state, JOB_DELAYED);
    struct queue_claim claim = claim_up_to(WORKER, 1);
    CHECK_INT(claim.count, 0);
    CHECK(claim.next_due_ms > 3000000);
    CHECK_INT(get_job(id).due_ms, job.run_at_ms);
    queue_claim_fini(&claim);

    struct queue_submit soon = job_of("alice", id);
    soon.run_at_ms = clock_wall_ms() + 30;
    submit_job(&soon);
    TICK_UNTIL(get_job(id).state == JOB_QUEUED);
    CHECK_TEXT(claim_one(WORKER).public_id, id);
}

static void priorities_go_first_and_lower_ones_do_not_starve(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    for (int i = 0; i < 64; i++) {
        struct queue_submit job = job_of("alice", id);
        job.priority = JOB_PRIORITY_HIGH;
        submit_job(&job);
        job = job_of("alice", id);
        job.priority = JOB_PRIORITY_LOW;
        submit_job(&job);
    }
    CHECK_INT(get_job(id).position, 64 + 63);
    int low = 0;
    for (int i = 0; i < 32; i++)
        low += get_job(claim_one(WORKER).public_id).priority == JOB_PRIORITY_LOW;
    CHECK_INT(low, 2);
}

/* ---- fairness and position --------------------------------------------------------------- */

static void ten_jobs_are_not_stuck_behind_a_thousand(void)
{
    char id[ID_PUBLIC_SIZE];
    int seen = 0, last = 0;
    begin(30000);
    for (int i = 0; i < 1000; i++)
        submit_to("big", id);
    for (int i = 0; i < 10; i++)
        submit_to("small", id);
    CHECK_INT(get_job(id).position, 19);
    for (int claimed = 0; claimed < 40; claimed += 8) {
        struct queue_claim claim = claim_up_to(WORKER, 8);
        CHECK_INT(claim.count, 8);
        for (size_t i = 0; i < 8; i++)
            if (!strcmp(get_job(claim.jobs[i].public_id).flow, "small")) {
                seen++;
                last = claimed + (int)i;
            }
        queue_claim_fini(&claim);
    }
    CHECK_INT(seen, 10);
    CHECK(last <= 20);
}

static void submit_for(const char *model, enum job_priority priority, char id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of("alice", id);
    job.model = model;
    job.priority = priority;
    submit_job(&job);
}

/* Of a worker that prefers "resident" to "other"; the jobs stay leased. */
static struct queue_claim claim_two_models(size_t max)
{
    static const char *const models[] = {"resident", "other"};
    struct queue_claim claim = {0};
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    CHECK_INT(queue_claim(&queue, redis, WORKER, nonce, models, 2, max, CALL_MS, &claim, &err), 0);
    CHECK(claim.count > 0);
    for (size_t i = 1; i < claim.count; i++)
        CHECK_TEXT(claim.jobs[i].model, claim.jobs[0].model);
    return claim;
}

static void check_claims_from(const char *model, size_t max, size_t count)
{
    struct queue_claim claim = claim_two_models(max);
    CHECK_TEXT(claim.jobs[0].model, model);
    CHECK_INT(claim.count, count);
    queue_claim_fini(&claim);
}

static void a_higher_class_goes_before_the_resident_model(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    for (int i = 0; i < 4; i++)
        submit_for("resident", JOB_PRIORITY_NORMAL, id);
    for (int i = 0; i < 2; i++)
        submit_for("other", JOB_PRIORITY_HIGH, id);
    submit_for("other", JOB_PRIORITY_LOW, id);
    submit_for("resident", JOB_PRIORITY_LOW, id);
    /* The batch is not filled up with what is worth less than what waits for the resident one. */
    check_claims_from("other", 8, 2);
    check_claims_from("resident", 8, 4);
    check_claims_from("resident", 8, 1);
    check_claims_from("other", 8, 1);
}

static void every_sixteenth_claim_of_a_worker_of_two_models_begins_below(void)
{
    char id[ID_PUBLIC_SIZE];
    int low = 0;
    begin(30000);
    for (int i = 0; i < 40; i++)
        submit_for("resident", JOB_PRIORITY_HIGH, id);
    for (int i = 0; i < 4; i++)
        submit_for("other", JOB_PRIORITY_LOW, id);
    for (int i = 0; i < 32; i++) {
        struct queue_claim claim = claim_two_models(1);
        low += !strcmp(claim.jobs[0].model, "other");
        queue_claim_fini(&claim);
    }
    CHECK_INT(low, 2);
}

static void a_model_whose_jobs_waited_too_long_goes_before_everything(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    CHECK_INT(queue_model(&queue, redis, &(struct queue_model){.model = "other", .past_due_ms = 50},
                          CALL_MS, &err),
              0);
    submit_for("other", JOB_PRIORITY_LOW, id);
    int64_t late_ms = clock_ms() + 60;
    for (int i = 0; i < 200; i++)
        submit_for("resident", JOB_PRIORITY_HIGH, id);
    while (clock_ms() < late_ms)
        nap();
    check_claims_from("other", 8, 1);
    check_claims_from("resident", 8, 8);
    CHECK_INT(queue_model(&queue, redis, &(struct queue_model){.model = "a b"}, CALL_MS, &err),
              ERR_INVALID);
}

static void a_retry_is_past_due_by_its_wait_and_not_by_its_age(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    CHECK_INT(queue_model(&queue, redis,
                          &(struct queue_model){.model = "other", .past_due_ms = 400}, CALL_MS,
                          &err),
              0);
    struct queue_submit job = job_of("alice", id);
    job.model = "other";
    job.backoff_ms = 500;
    submit_job(&job);
    struct queue_claim claim = claim_two_models(1);
    CHECK_INT(fail_job(&claim.jobs[0], true, &state), QUEUE_OK);
    queue_claim_fini(&claim);
    TICK_UNTIL(get_job(id).state == JOB_QUEUED);
    submit_for("resident", JOB_PRIORITY_NORMAL, id);
    check_claims_from("resident", 1, 1);
}

static void a_flow_of_twice_the_weight_gets_twice_the_jobs(void)
{
    char id[ID_PUBLIC_SIZE];
    int heavy = 0;
    begin(30000);
    for (int i = 0; i < 60; i++) {
        struct queue_submit job = job_of("light", id);
        submit_job(&job);
        job = job_of("heavy", id);
        job.weight = 2;
        submit_job(&job);
    }
    for (int i = 0; i < 30; i++)
        heavy += !strcmp(get_job(claim_one(WORKER).public_id).flow, "heavy");
    CHECK_INT(heavy, 20);
}

static void draining_and_coming_back_does_not_reset_what_was_used(void)
{
    char id[ID_PUBLIC_SIZE];
    int greedy = 0;
    begin(30000);
    for (int i = 0; i < 10; i++)
        submit_to("patient", id);
    for (int i = 0; i < 10; i++) {
        submit_to("greedy", id);
        greedy += !strcmp(get_job(claim_one(WORKER).public_id).flow, "greedy");
    }
    CHECK_INT(greedy, 5);
}

static void positions_count_what_really_starts_before(void)
{
    char ids[30][ID_PUBLIC_SIZE];
    int64_t expected[30];
    begin(30000);
    /* Flows of uneven length, handed in interleaved, one of them with a double weight. */
    for (int i = 0; i < 30; i++) {
        const char *flow = i % 2 == 0 ? "a" : i % 3 == 0 ? "b" : "c";
        struct queue_submit job = job_of(flow, ids[i]);
        job.weight = flow[0] == 'c' ? 2 : 1;
        submit_job(&job);
    }
    cancel_job(ids[4]);
    cancel_job(ids[9]);
    for (int i = 0; i < 30; i++)
        expected[i] = get_job(ids[i]).position;
    for (int order = 0; order < 28; order++) {
        struct queue_claimed job = claim_one(WORKER);
        int which = 0;
        while (strcmp(ids[which], job.public_id) != 0)
            which++;
        CHECK_INT(expected[which], order);
    }
    CHECK_INT(expected[4], -1);
}

static void the_view_of_many_flows_is_a_second_old_at_most(void)
{
    char id[ID_PUBLIC_SIZE], flow[JOB_FLOW_SIZE];
    begin(30000);
    for (int i = 0; i < 100; i++) {
        snprintf(flow, sizeof flow, "f%02d", i);
        submit_to(flow, id);
    }
    CHECK_INT(get_job(id).position, 99);
    struct queue_claim claim = claim_up_to(WORKER, 50);
    CHECK_INT(claim.count, 50);
    queue_claim_fini(&claim);
    int64_t position = get_job(id).position;
    CHECK(position == 99 || position == 49);
    TICK_UNTIL(raw_int("EXISTS", "{q:00}view:" FIXTURE_MODEL ":1") == 0);
    CHECK_INT(get_job(id).position, 49);
}

static void a_batch_is_told_its_positions(void)
{
    char ids[5][ID_PUBLIC_SIZE];
    static const char *const flows[5] = {"alice", "alice", "bob", "alice", "bob"};
    struct queue_submit jobs[5];
    struct queue_submitted submitted;
    struct redis_command command;
    struct redis_reply *reply = NULL;
    begin(30000);
    char earlier[ID_PUBLIC_SIZE];
    submit_to("alice", earlier);
    for (int i = 0; i < 5; i++) {
        jobs[i] = job_of(flows[i], ids[i]);
        jobs[i].wants_position = true;
    }
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_submit_command(&queue, jobs, 5, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    int64_t told[5];
    for (int i = 0; i < 5; i++) {
        CHECK_INT(queue_submit_reply(reply, (size_t)i, &submitted, &err), 0);
        CHECK_INT(submitted.state, JOB_QUEUED);
        CHECK(submitted.created_ms > 0);
        told[i] = submitted.position;
    }
    /* The last of each lane is exact, the others are before it. */
    CHECK_INT(told[3], get_job(ids[3]).position);
    CHECK_INT(told[4], get_job(ids[4]).position);
    CHECK_INT(told[1], told[3] - 1);
    CHECK_INT(told[0], told[3] - 2);
    CHECK_INT(told[2], told[4] - 1);
    redis_reply_free(&reply);
    /* Repeated, each is there already and told anew. */
    queue_submit_command(&queue, jobs, 5, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(queue_submit_reply(reply, (size_t)i, &submitted, &err), 0);
        CHECK(submitted.repeated);
        CHECK_INT(submitted.position, get_job(ids[i]).position);
    }
    redis_reply_free(&reply);
    redis_command_fini(&command);
}

static void many_positions_cost_one_call(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    const char *list[3];
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_position position;
    begin(30000);
    for (int i = 0; i < 3; i++) {
        submit_to("alice", ids[i]);
        list[i] = ids[i];
    }
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_positions_command(&queue, list, 3, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(queue_positions_reply(reply, i, &position, &err), 0);
        CHECK_INT(position.position, i);
    }
    redis_reply_free(&reply);
    redis_command_fini(&command);
}

/* ---- the registry and the wake-up
 * ----------------------------------------------------------------- */

static void the_eta_follows_from_live_slots(void)
{
    char id[ID_PUBLIC_SIZE];
    const char *models[] = {FIXTURE_MODEL};
    struct queue_counters counters;
    begin(30000);
    for (int i = 0; i < 5; i++)
        submit_to("alice", id);
    CHECK_INT(get_job(id).eta_ms, -1);
    struct queue_hello hello = {WORKER, models, 1, 2, "cpu", 0};
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), 0);
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), 0);
    CHECK_INT(get_job(id).eta_ms, 4 * 100 / 2 + 100);
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.slots, 2);
    CHECK_INT(counters.workers, 1);
    CHECK_INT(queue_bye(&queue, redis, WORKER, CALL_MS, &err), 0);
    CHECK_INT(get_job(id).eta_ms, -1);
}

static void a_silent_worker_counts_as_gone_until_it_speaks(void)
{
    char id[ID_PUBLIC_SIZE];
    const char *models[] = {FIXTURE_MODEL};
    bool drain = true;
    enum queue_verdict none;
    begin(60);
    submit_to("alice", id);
    struct queue_hello hello = {WORKER, models, 1, 1, "cpu", 40};
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), 0);
    CHECK(get_job(id).eta_ms >= 0);
    TICK_UNTIL(get_job(id).eta_ms == -1);
    CHECK_INT(queue_heartbeat(&queue, redis, WORKER, NULL, 0, CALL_MS, &none, &drain, &err), 0);
    CHECK(!drain);
    CHECK(get_job(id).eta_ms >= 0);
}

static void a_submit_wakes_an_idle_worker_and_tokens_do_not_pile_up(void)
{
    char id[ID_PUBLIC_SIZE];
    const char *models[] = {"other", FIXTURE_MODEL};
    begin(30000);
    CHECK_INT(queue_wait(&queue, redis, models, 2, 1, &err), ERR_TIMEOUT);
    for (int i = 0; i < 20; i++)
        submit_to("alice", id);
    CHECK_INT(raw_int("LLEN", "{q:00}wake:m"), 1);
    CHECK_INT(queue_wait(&queue, redis, models, 2, 5000, &err), 0);
    CHECK_INT(raw_int("LLEN", "{q:00}wake:m"), 0);
    struct queue_claim claim = claim_up_to(WORKER, 5);
    CHECK(claim.more);
    queue_claim_fini(&claim);
    /* Who leaves jobs behind wakes the next. */
    CHECK_INT(raw_int("LLEN", "{q:00}wake:m"), 1);
}

/* ---- events
 * ---------------------------------------------------------------------------------------- */

struct seen {
    char text[256];
    char last_id[48];
};

static void note(const struct queue_event *event, void *data)
{
    struct seen *seen = data;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%c%d ",
             event->state ? job_state_letter(event->state) : 'X', event->progress);
    CHECK_TEXT(event->model, FIXTURE_MODEL);
}

static void events_tell_every_change_and_can_be_resumed(void)
{
    char id[ID_PUBLIC_SIZE], after[1][QUEUE_EVENT_ID_SIZE] = {"0-0"};
    struct seen seen = {0};
    struct redis_command command;
    struct redis_reply *reply = NULL;
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    beat(WORKER, &job, 250);
    complete_job(&job);
    erase_job(id);

    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_events_command(&queue, 1, after, 10, 100, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_events_reply(&queue, 1, reply, note, &seen, after, &err), 0);
    CHECK_TEXT(seen.text, "R0 R250 S1000 X1000 ");
    CHECK(queue_event_id_valid(after[0]));
    redis_reply_free(&reply);
    CHECK_INT((queue_events_command(&queue, 1, after, 10, 100, &command), 0), 0);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_events_reply(&queue, 1, reply, note, &seen, after, &err), 0);
    redis_reply_free(&reply);

    redis_command_fini(&command);
}

static void note_id(const struct queue_event *event, void *data)
{
    snprintf(data, ID_PUBLIC_SIZE, "%s", event->public_id);
}

static void one_read_covers_the_events_of_all_shards(void)
{
    char id[ID_PUBLIC_SIZE], seen[ID_PUBLIC_SIZE] = "";
    char after[3][QUEUE_EVENT_ID_SIZE] = {"0-0", "0-0", "0-0"};
    struct queue queues[3];
    struct redis_command command;
    struct redis_reply *reply = NULL;
    begin(30000);
    for (unsigned shard = 0; shard < 3; shard++) {
        queue_init(&queues[shard], shard, 30000);
        queues[shard].shards = 3;
    }
    struct queue_submit job = job_of("alice", id);
    struct queue_submitted submitted;
    id_public_create(2, id);
    CHECK_INT(queue_submit(&queues[2], redis, &job, CALL_MS, &submitted, &err), 0);
    bool found;
    CHECK_INT(queue_erase(&queues[2], redis, id, CALL_MS, &found, &err), 0);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_events_command(queues, 3, after, 10, 100, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_events_reply(queues, 3, reply, note_id, seen, after, &err), 0);
    CHECK_TEXT(seen, id);
    CHECK_TEXT(after[0], "0-0");
    CHECK_TEXT(after[1], "0-0");
    CHECK(strcmp(after[2], "0-0") != 0);
    CHECK_INT(queue_events_reply(queues, 2, reply, note_id, seen, after, &err), ERR_INTERNAL);
    redis_reply_free(&reply);
    redis_command_fini(&command);
}

static void flows_are_spread_over_the_shards(void)
{
    int jobs[16] = {0};
    for (int i = 0; i < 1600; i++) {
        char flow[16];
        snprintf(flow, sizeof flow, "v%08x", (unsigned)i * 2654435761u);
        unsigned shard = queue_shard_of_flow(flow, 16);
        CHECK(shard < 16);
        CHECK_INT(queue_shard_of_flow(flow, 1), 0);
        jobs[shard]++;
    }
    for (int shard = 0; shard < 16; shard++)
        CHECK(jobs[shard] > 50 && jobs[shard] < 200);
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_delayed_job_waits_for_its_time);
    RUN(priorities_go_first_and_lower_ones_do_not_starve);
    RUN(ten_jobs_are_not_stuck_behind_a_thousand);
    RUN(a_higher_class_goes_before_the_resident_model);
    RUN(every_sixteenth_claim_of_a_worker_of_two_models_begins_below);
    RUN(a_model_whose_jobs_waited_too_long_goes_before_everything);
    RUN(a_retry_is_past_due_by_its_wait_and_not_by_its_age);
    RUN(a_flow_of_twice_the_weight_gets_twice_the_jobs);
    RUN(draining_and_coming_back_does_not_reset_what_was_used);
    RUN(positions_count_what_really_starts_before);
    RUN(the_view_of_many_flows_is_a_second_old_at_most);
    RUN(a_batch_is_told_its_positions);
    RUN(many_positions_cost_one_call);
    RUN(the_eta_follows_from_live_slots);
    RUN(a_silent_worker_counts_as_gone_until_it_speaks);
    RUN(a_submit_wakes_an_idle_worker_and_tokens_do_not_pile_up);
    RUN(events_tell_every_change_and_can_be_resumed);
    RUN(one_read_covers_the_events_of_all_shards);
    RUN(flows_are_spread_over_the_shards);
    fixture_stop();
    return check_report();
}
