/* SPDX-License-Identifier: MIT */
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#define WORKER "w-00000000000000000000000000000001"
#define OTHER "w-00000000000000000000000000000002"

/* ---- the straight road ------------------------------------------------------------------------
 */

static void a_job_goes_from_submit_to_success(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    job.spec = "{\"params\":{}}";
    job.spec_size = 13;
    struct queue_submitted submitted = submit_job(&job);
    CHECK(!submitted.repeated);
    CHECK_INT(submitted.state, JOB_QUEUED);
    CHECK_INT(submitted.position, 0);
    CHECK_INT(submitted.eta_ms, -1);

    struct queue_claim claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 1);
    CHECK_TEXT(claim.jobs[0].public_id, id);
    CHECK_TEXT(claim.jobs[0].model, FIXTURE_MODEL);
    CHECK_TEXT(claim.jobs[0].extension, "png");
    CHECK_INT(claim.jobs[0].epoch, 1);
    CHECK_INT(claim.jobs[0].id, id_public_small(id));
    CHECK_INT(claim.jobs[0].spec_size, 13);
    CHECK(!memcmp(claim.jobs[0].spec, "{\"params\":{}}", 13));
    struct queue_claimed claimed = claim.jobs[0];
    queue_claim_fini(&claim);

    CHECK_INT(beat(WORKER, &claimed, 400), QUEUE_OK);
    CHECK_INT(get_job(id).progress, 400);
    CHECK_INT(complete_job(&claimed), QUEUE_OK);
    struct queue_job done = get_job(id);
    CHECK_INT(done.state, JOB_SUCCEEDED);
    CHECK_INT(done.progress, 1000);
    CHECK_TEXT(done.result_type, "image/png");
    CHECK_INT(done.result_bytes, 12345);
    CHECK_TEXT(done.flow, "alice");
    CHECK_INT(done.position, -1);
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 0);
    CHECK_INT(raw_int("HLEN", "{q:00}run"), 0);
}

static void submitting_the_same_id_again_changes_nothing(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    CHECK(!submit_job(&job).repeated);
    CHECK(submit_job(&job).repeated);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 1);
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_job_goes_from_submit_to_success);
    RUN(submitting_the_same_id_again_changes_nothing);
    fixture_stop();
    return check_report();
}
