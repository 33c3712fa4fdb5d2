/* SPDX-License-Identifier: MIT
 *
 * One job after another through every script of its life, and each time the connection breaks after
 * the script has run and before its reply comes; so each script runs twice. What it did the second
 * time must not be seen. DARKROOM_CUTS says how many rounds there are: as many cuts of each script.
 */
#include "tests/unit/check.h"

#include "common/mail_ledger.h"
#include "common/queue_fsck.h"
#include "tests/support/queue_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WORKER "w-00000000000000000000000000000001"
#define DEFAULT_ROUNDS 20

/* ---- a wire that can be cut -------------------------------------------------------------------
 */

/* The next reply is thrown away, and the connection with it. */
static atomic_bool armed;
static atomic_int cuts;
static int wire_fd;
static struct sockaddr_un wire_address = {.sun_family = AF_UNIX};
static char wire_folder[] = "/tmp/darkroom-cuts-XXXXXX";

static bool copy_once(int from, int to, bool replies)
{
    char data[65536];
    ssize_t size = read(from, data, sizeof data);
    /* NOSCRIPT: nothing has run yet. */
    if (size > 0 && replies && data[0] != '-' && atomic_exchange(&armed, false)) {
        atomic_fetch_add(&cuts, 1);
        return false;
    }
    return size > 0 && write(to, data, (size_t)size) == size;
}

/* The client has one command under way at a time, so a reply is whatever the server says next. */
static void serve(int client, int redis_fd)
{
    struct pollfd ends[] = {{.fd = client, .events = POLLIN}, {.fd = redis_fd, .events = POLLIN}};
    for (;;) {
        if (poll(ends, 2, -1) < 0)
            return;
        if (ends[0].revents && !copy_once(client, redis_fd, false))
            return;
        if (ends[1].revents && !copy_once(redis_fd, client, true))
            return;
    }
}

static void *run_wire(void *data)
{
    const struct sockaddr_un *target = data;
    for (int client; (client = accept(wire_fd, NULL, NULL)) >= 0; close(client)) {
        int redis_fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(redis_fd, (const struct sockaddr *)target, sizeof *target) == 0)
            serve(client, redis_fd);
        close(redis_fd);
    }
    return NULL;
}

/* From here on the fixture's connection leads over the wire. */
static void wire_start(pthread_t *thread)
{
    static struct sockaddr_un target = {.sun_family = AF_UNIX};
    struct redis_target over_wire;
    char url[160];
    snprintf(target.sun_path, sizeof target.sun_path, "%s",
             redis_server_url(server) + strlen("unix:"));
    CHECK(mkdtemp(wire_folder));
    snprintf(wire_address.sun_path, sizeof wire_address.sun_path, "%s/wire", wire_folder);
    wire_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_INT(bind(wire_fd, (struct sockaddr *)&wire_address, sizeof wire_address), 0);
    CHECK_INT(listen(wire_fd, 8), 0);
    CHECK_INT(pthread_create(thread, NULL, run_wire, &target), 0);
    redis_destroy(&redis);
    snprintf(url, sizeof url, "unix:%s", wire_address.sun_path);
    CHECK_INT(redis_target_init(&over_wire, url, NULL, &err), 0);
    CHECK_INT(redis_create(&over_wire, &redis, &err), 0);
}

static void wire_stop(pthread_t thread)
{
    redis_destroy(&redis);
    shutdown(wire_fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(wire_fd);
    unlink(wire_address.sun_path);
    rmdir(wire_folder);
}

/* What follows is cut once. Connecting first: a handshake has replies too. */
static void cut(void)
{
    RAW("PING");
    atomic_store(&armed, true);
}

static void was_cut(void)
{
    CHECK(!atomic_load(&armed));
}

/* ---- the life of a job ------------------------------------------------------------------------
 */

static struct queue_claimed claim_cut(uint32_t epoch)
{
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    cut();
    struct queue_claim claim = claim_with(WORKER, nonce, 8);
    was_cut();
    CHECK_INT(claim.count, 1);
    CHECK_INT(claim.jobs[0].epoch, epoch);
    struct queue_claimed job = claim.jobs[0];
    job.spec = NULL;
    queue_claim_fini(&claim);
    return job;
}

static void submit_cut(char id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of("alice", id);
    job.notify_address = "0123456789abcdef0123456789abcdef";
    job.notify_blob = "sealed";
    job.notify_blob_size = 6;
    cut();
    CHECK(submit_job(&job).repeated);
    was_cut();
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 1);
}

static void fail_and_retry_cut(const char *id)
{
    enum job_state state;
    struct queue_ticked ticked;
    struct queue_claimed job = claim_cut(1);
    cut();
    CHECK_INT(beat(WORKER, &job, 300), QUEUE_OK);
    was_cut();
    cut();
    CHECK_INT(fail_job(&job, true, &state), QUEUE_AGAIN);
    was_cut();
    CHECK_INT(get_job(id).attempts, 1);
    TICK_UNTIL(get_job(id).state == JOB_QUEUED);
    cut();
    CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked, &err), 0);
    was_cut();
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 1);
}

static void release_cut(const char *id)
{
    struct queue_claimed job = claim_cut(2);
    struct queue_lease lease = {job.id, job.epoch};
    cut();
    CHECK_INT(queue_release(&queue, redis, WORKER, &lease, 1, true, CALL_MS, &err), 0);
    was_cut();
    struct queue_job now = get_job(id);
    CHECK_INT(now.state, JOB_QUEUED);
    CHECK_INT(now.losses, 1);
    CHECK_INT(now.attempts, 1);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 1);
}

static void complete_cut(const char *id)
{
    struct queue_claimed job = claim_cut(3);
    cut();
    CHECK_INT(complete_job(&job), QUEUE_AGAIN);
    was_cut();
    cut();
    CHECK_INT(get_job(id).state, JOB_SUCCEEDED);
    was_cut();
    CHECK_INT(raw_int("XLEN", "{q:00}out"), 1);
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 0);
}

static struct queue_notify_row notify_claim_cut(struct queue_notify_rows *rows)
{
    /* Nothing names the caller here: what a lost reply held is lent again when its lease is over.
     */
    cut();
    CHECK_INT(queue_notify_claim(&queue, redis, 8, 20, CALL_MS, rows, &err), 0);
    was_cut();
    int64_t deadline_ms = clock_ms() + 10000;
    while (rows->count == 0 && clock_ms() < deadline_ms) {
        queue_notify_rows_fini(rows);
        nap();
        CHECK_INT(queue_notify_claim(&queue, redis, 8, 60000, CALL_MS, rows, &err), 0);
    }
    CHECK_INT(rows->count, 1);
    return rows->rows[0];
}

static void notify_cut(void)
{
    struct queue_notify_rows rows = {0};
    enum queue_verdict verdict;
    int moved = 0;
    bool dead;
    cut();
    CHECK_INT(queue_notify_intake(&queue, redis, CALL_MS, &moved, &err), 0);
    was_cut();
    CHECK_INT(raw_int("ZCARD", "{q:00}due"), 1);
    struct queue_notify_row row = notify_claim_cut(&rows);
    const struct mail_asked asked = {row.address, "0123", row.notify_id, 1, 0, 0};
    struct mail_answer answer;
    cut();
    CHECK_INT(mail_ledger_take(redis, &asked, CALL_MS, &answer, &err), 0);
    was_cut();
    CHECK_INT(answer.verdict, MAIL_MAY_GO); /* the one that it may have, though it asked twice */
    const struct mail_done done = {MAIL_EVENT_SENT, answer.taken_ms, 0, NULL};
    cut();
    CHECK_INT(mail_ledger_done(redis, &done, CALL_MS, &err), 0);
    was_cut();
    struct queue_notified sent = {row.notify_id, row.epoch, QUEUE_NOTIFY_SENT, 0, NULL};
    cut();
    CHECK_INT(queue_notify_settle(&queue, redis, &sent, CALL_MS, &verdict, &dead, &err), 0);
    was_cut();
    CHECK_INT(verdict, QUEUE_AGAIN);
    CHECK_INT(raw_int("ZCARD", "{q:00}due"), 0);
    queue_notify_rows_fini(&rows);
    RAW("DEL", "{k}mailto:0123456789abcdef0123456789abcdef");
}

static void cancel_and_erase_cut(void)
{
    char id[ID_PUBLIC_SIZE];
    bool found;
    submit_to("alice", id);
    cut();
    CHECK_INT(cancel_job(id), JOB_CANCELLED);
    was_cut();
    cut();
    CHECK_INT(queue_erase(&queue, redis, id, CALL_MS, &found, &err), 0);
    was_cut();
    CHECK(!found);
    CHECK_INT(queue_get(&queue, redis, id, CALL_MS, &(struct queue_job){0}, NULL), ERR_NOT_FOUND);
}

static void hello_and_bye_cut(void)
{
    const char *models[] = {FIXTURE_MODEL};
    struct queue_hello hello = {
        .worker = WORKER, .models = models, .model_count = 1, .slots = 2, .device = "test"};
    cut();
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), 0);
    was_cut();
    CHECK_INT(raw_int("ZCARD", "{q:00}workers"), 1);
    cut();
    CHECK_INT(queue_bye(&queue, redis, WORKER, CALL_MS, &err), 0);
    was_cut();
    CHECK_INT(raw_int("ZCARD", "{q:00}workers"), 0);
}

static void print_finding(const char *name, const char *what, bool mended, void *data)
{
    (void)data;
    printf("# %s %s%s\n", name, what, mended ? ", mended" : "");
}

static void no_script_is_felt_twice(void)
{
    const char *given = getenv("DARKROOM_CUTS");
    long rounds = given ? strtol(given, NULL, 10) : DEFAULT_ROUNDS;
    struct queue_fsck_options options = {.each = print_finding};
    struct queue_fsck_report report = {0};
    struct queue_counters counters;
    pthread_t thread;
    begin(30000);
    wire_start(&thread);
    for (long round = 0; round < rounds; round++) {
        char id[ID_PUBLIC_SIZE];
        submit_cut(id);
        fail_and_retry_cut(id);
        release_cut(id);
        complete_cut(id);
        notify_cut();
        cancel_and_erase_cut();
        hello_and_bye_cut();
    }
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.queued + counters.running + counters.delayed, 0);
    CHECK_INT(counters.succeeded, rounds);
    CHECK_INT(queue_fsck(&queue, redis, &options, &report, &err), 0);
    CHECK_INT(report.findings, 0);
    CHECK_INT(report.records, rounds);
    printf("# %d cuts in %ld rounds\n", atomic_load(&cuts), rounds);
    wire_stop(thread);
}

int main(void)
{
    fixture_start(NULL);
    RUN(no_script_is_felt_twice);
    redis_server_stop(&server);
    return check_report();
}
