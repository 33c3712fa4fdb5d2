/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/cli.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "dispatcher/cli/events.h"
#include "dispatcher/cli/state.h"
#include "tests/unit/check.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/darkroom-cli-XXXXXX";
static char path[128], lock_path[160];

static struct cli_job make_job(unsigned number)
{
    struct cli_job job = {.server = "http://127.0.0.1:8080",
                          .view = "VIEW",
                          .manage = "MANAGE",
                          .erase = "DELETE",
                          .model = "portrait-drawing",
                          .created_at = "2026-11-21T12:00:00.000Z"};
    snprintf(job.id, sizeof job.id, "00%04x0123456789abcdef0123456789ab", number);
    job.id[34] = 0;
    size_t length = strlen(job.id);
    memset(job.id + length, '0', 34 - length);
    return job;
}

static void forget_all(void)
{
    unlink(path);
    unlink(lock_path);
}

/* ---- state file ----------------------------------------------------------------------------- */

static void a_job_is_found_by_its_id_or_its_beginning(void)
{
    struct cli_job job = make_job(0xabcd), other = make_job(0xabce), found;
    struct err err = {0};
    forget_all();
    CHECK_INT(cli_state_add(path, &job, &err), 0);
    CHECK_INT(cli_state_add(path, &other, &err), 0);
    CHECK_INT(cli_state_find(path, job.id, &found, &err), 0);
    CHECK_TEXT(found.view, "VIEW");
    CHECK_TEXT(found.manage, "MANAGE");
    CHECK_TEXT(found.erase, "DELETE");
    CHECK_TEXT(found.server, "http://127.0.0.1:8080");
    CHECK_INT(cli_state_find(path, "00abce", &found, &err), 0);
    CHECK_TEXT(found.id, other.id);
    CHECK_INT(cli_state_find(path, "00ab", &found, &err), ERR_CONFLICT);
    err = (struct err){0};
    CHECK_INT(cli_state_find(path, "ffff", &found, &err), ERR_NOT_FOUND);
    CHECK_TEXT(err.field, "id");
    CHECK_INT(cli_state_find(path, "", &found, NULL), ERR_NOT_FOUND);
}

static void the_file_belongs_to_its_owner_only(void)
{
    struct cli_job job = make_job(1);
    struct stat status;
    forget_all();
    CHECK_INT(cli_state_add(path, &job, NULL), 0);
    CHECK_INT(stat(path, &status), 0);
    CHECK_INT(status.st_mode & 07777, 0600);
    char parent[128];
    snprintf(parent, sizeof parent, "%s/state/darkroom", folder);
    CHECK_INT(stat(parent, &status), 0);
    CHECK_INT(status.st_mode & 07777, 0700);
}

static void the_oldest_jobs_are_forgotten_and_a_job_stands_once(void)
{
    struct cli_job *jobs = NULL;
    size_t count = 0;
    struct err err = {0};
    struct buf text;
    forget_all();
    /* One short of full, written at once: a thousand adds would fsync a thousand times. */
    buf_init(&text, 1 << 20);
    CHECK_INT(buf_append_text(&text, "{\"version\": 1, \"jobs\": ["), 0);
    for (unsigned i = 0; i < CLI_STATE_MAX_JOBS - 1; i++)
        CHECK_INT(buf_printf(&text, "%s{\"id\": \"%s\", \"view\": \"v\"}", i ? ", " : "",
                             make_job(0x8000 - i).id),
                  0);
    CHECK_INT(buf_append_text(&text, "]}"), 0);
    CHECK_INT(file_write(path, text.data, text.size, 0600, &err), 0);
    buf_fini(&text);
    struct cli_job first = make_job(0xf001), second = make_job(0xf002);
    CHECK_INT(cli_state_add(path, &first, &err), 0);
    CHECK_INT(cli_state_add(path, &second, &err), 0);
    CHECK_INT(cli_state_add(path, &first, &err), 0);
    CHECK_INT(cli_state_list(path, 5000, &jobs, &count, &err), 0);
    CHECK_INT(count, CLI_STATE_MAX_JOBS);
    CHECK_TEXT(jobs[0].id, first.id);
    CHECK_TEXT(jobs[1].id, second.id);
    CHECK_TEXT(jobs[2].id, make_job(0x8000).id);
    free(jobs);
    CHECK_INT(cli_state_remove(path, first.id, &err), 0);
    CHECK_INT(cli_state_list(path, 1, &jobs, &count, &err), 0);
    CHECK_INT(count, 1);
    CHECK_TEXT(jobs[0].id, second.id);
    free(jobs);
}

static void no_file_is_no_job(void)
{
    struct cli_job *jobs = NULL;
    size_t count = 1;
    forget_all();
    CHECK_INT(cli_state_list(path, 10, &jobs, &count, NULL), 0);
    CHECK_INT(count, 0);
    free(jobs);
}

static void a_damaged_file_is_named_and_never_overwritten(void)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"version\": 1}",
        "{\"jobs\": 3}",
        "{\"jobs\": [{\"id\": \"../../etc/passwd\"}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cli_job *jobs = NULL, job = make_job(3);
        struct buf after;
        size_t count;
        struct err err = {0};
        forget_all();
        CHECK_INT(file_write(path, texts[i], strlen(texts[i]), 0600, &err), 0);
        CHECK(cli_state_list(path, 10, &jobs, &count, &err) < 0);
        CHECK_HAS(err.text, "jobs.json");
        if (i + 1 < sizeof texts / sizeof texts[0])
            CHECK(cli_state_add(path, &job, &err) < 0);
        buf_init(&after, 4096);
        CHECK_INT(buf_read_file(&after, path, NULL), 0);
        if (i + 1 < sizeof texts / sizeof texts[0])
            CHECK_TEXT(buf_text(&after), texts[i]);
        buf_fini(&after);
    }
}

static void writers_at_once_lose_no_job(void)
{
    enum { WRITERS = 6 };
    struct cli_job *jobs = NULL;
    size_t count = 0;
    forget_all();
    for (unsigned i = 0; i < WRITERS; i++)
        if (fork() == 0) {
            struct cli_job job = make_job(i);
            _exit(cli_state_add(path, &job, NULL) ? 1 : 0);
        }
    for (unsigned i = 0; i < WRITERS; i++) {
        int status = 1;
        CHECK(wait(&status) > 0);
        CHECK_INT(status, 0);
    }
    CHECK_INT(cli_state_list(path, 100, &jobs, &count, NULL), 0);
    CHECK_INT(count, WRITERS);
    free(jobs);
}

/* ---- events --------------------------------------------------------------------------------- */

static char seen[4096];

static int collect(void *context, const char *event, const char *data, size_t size)
{
    (void)context;
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof seen - used, "[%s|%.*s]", event, (int)size, data);
    return strstr(data, "STOP") ? 7 : 0;
}

static void events_come_out_the_same_for_every_cut(void)
{
    static const char stream[] = ": hello\n\nid: 1-0\nevent: job\ndata: {\"a\":1}\n\n"
                                 "data: one\r\ndata:two\r\n\r\n: keep alive\n\n"
                                 "event: x\n\nretry: 10\nid: 2-0\rdata\r\rdata: last\n\ndata: cut";
    static const char want[] = "[job|{\"a\":1}][message|one\ntwo][message|last]";
    for (size_t cut = 0; cut < sizeof stream - 1; cut++) {
        struct cli_events events;
        seen[0] = 0;
        cli_events_init(&events, collect, NULL);
        CHECK_INT(cli_events_feed(&events, stream, cut), 0);
        CHECK_INT(cli_events_feed(&events, stream + cut, sizeof stream - 1 - cut), 0);
        CHECK_TEXT(seen, want);
        CHECK_TEXT(events.last_id, "2-0");
        cli_events_fini(&events);
    }
}

static void the_receiver_ends_the_stream_and_a_new_one_begins_clean(void)
{
    struct cli_events events;
    seen[0] = 0;
    cli_events_init(&events, collect, NULL);
    CHECK_INT(cli_events_feed(&events, "data: STOP\n\ndata: more\n\n", 24), 7);
    CHECK_TEXT(seen, "[message|STOP]");
    seen[0] = 0;
    CHECK_INT(cli_events_feed(&events, "event: half\ndata: ha", 20), 0);
    cli_events_reset(&events);
    CHECK_INT(cli_events_feed(&events, "data: a\n\n", 9), 0);
    CHECK_TEXT(seen, "[message|a]");
    cli_events_fini(&events);
}

static void an_event_without_end_is_refused(void)
{
    struct cli_events events;
    static char junk[CLI_EVENTS_MAX_LINE + 100];
    memset(junk, 'a', sizeof junk);
    cli_events_init(&events, collect, NULL);
    CHECK_INT(cli_events_feed(&events, junk, sizeof junk), ERR_LIMIT);
    cli_events_fini(&events);
    int rc = 0;
    cli_events_init(&events, collect, NULL);
    for (int i = 0; rc == 0 && i < CLI_EVENTS_MAX_LINE; i++)
        rc = cli_events_feed(&events, "data: aaaa\n", 11);
    CHECK_INT(rc, ERR_LIMIT);
    cli_events_fini(&events);
}

/* ---- what people see ------------------------------------------------------------------------ */

static const char *shown(struct cli_status status, const char *state, bool bar)
{
    static char line[320];
    snprintf(status.state, sizeof status.state, "%s", state);
    cli_view_format(&status, bar, line, sizeof line);
    return line;
}

static void every_state_reads_as_plain_words(void)
{
    struct cli_status none = {.position = -1, .eta_s = -1};
    struct cli_status waits = {.position = 3, .eta_s = 12};
    struct cli_status next = {.position = 0, .eta_s = 200};
    struct cli_status works = {.progress = 0.5};
    struct cli_status wrong = {.error_code = "corrupt", .error_detail = "the PNG ends early"};
    CHECK_TEXT(shown(none, "queued", false), "Waiting");
    CHECK_TEXT(shown(waits, "queued", false), "Waiting: 3 before it, about 12 s");
    CHECK_TEXT(shown(next, "queued", false), "Waiting: next in line, about 3 min");
    CHECK_TEXT(shown(works, "running", false), "Working 50 %");
    CHECK_TEXT(shown(works, "running", true), "Working [############            ]  50 %");
    CHECK_TEXT(shown(none, "delayed", false), "Waiting to be tried again");
    CHECK_TEXT(shown(none, "succeeded", false), "Ready");
    CHECK_TEXT(shown(wrong, "failed", false), "Failed: the PNG ends early");
    CHECK_TEXT(shown(none, "cancelled", false), "Cancelled");
}

static void a_job_resource_is_read_with_or_without_its_parts(void)
{
    struct cli_status status;
    struct err err = {0};
    json_t *job = json_pack("{s:s,s:s,s:s,s:i,s:i,s:f,s:n,s:{s:s}}", "id", "6f1c", "model", "m",
                            "state", "queued", "position", 2, "eta_seconds", 9, "progress", 0.25,
                            "error", "links", "page", "http://127.0.0.1/j/6f1c");
    CHECK_INT(cli_read_status(job, &status, &err), 0);
    CHECK_INT(status.position, 2);
    CHECK_INT(status.eta_s, 9);
    CHECK_TEXT(status.page, "http://127.0.0.1/j/6f1c");
    CHECK(!cli_status_is_final(&status));
    json_decref(job);
    job = json_pack("{s:s,s:s,s:n,s:n,s:{s:s,s:s}}", "id", "6f1c", "state", "failed", "position",
                    "eta_seconds", "error", "code", "limit", "detail", "too large");
    CHECK_INT(cli_read_status(job, &status, &err), 0);
    CHECK_INT(status.position, -1);
    CHECK_TEXT(status.error_detail, "too large");
    CHECK(cli_status_is_final(&status));
    json_decref(job);
    job = json_pack("{s:s,s:s}", "id", "\033[2J", "state", "queued");
    CHECK_INT(cli_read_status(job, &status, &err), ERR_CORRUPT);
    json_decref(job);
    job = json_object();
    CHECK_INT(cli_read_status(job, &status, NULL), ERR_CORRUPT);
    json_decref(job);
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    setenv("XDG_STATE_HOME", "relative/counts/as/unset", 1);
    setenv("HOME", folder, 1);
    char standard[CLI_STATE_PATH], want[160];
    snprintf(want, sizeof want, "%s/.local/state/darkroom/jobs.json", folder);
    if (cli_state_path(standard, NULL) < 0 || strcmp(standard, want))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/state/darkroom/jobs.json", folder);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    RUN(a_job_is_found_by_its_id_or_its_beginning);
    RUN(the_file_belongs_to_its_owner_only);
    RUN(the_oldest_jobs_are_forgotten_and_a_job_stands_once);
    RUN(no_file_is_no_job);
    RUN(a_damaged_file_is_named_and_never_overwritten);
    RUN(writers_at_once_lose_no_job);
    RUN(events_come_out_the_same_for_every_cut);
    RUN(the_receiver_ends_the_stream_and_a_new_one_begins_clean);
    RUN(an_event_without_end_is_refused);
    RUN(every_state_reads_as_plain_words);
    RUN(a_job_resource_is_read_with_or_without_its_parts);
    forget_all();
    *strrchr(path, '/') = 0;
    rmdir(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
    rmdir(folder);
    return check_report();
}
