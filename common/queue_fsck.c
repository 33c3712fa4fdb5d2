/* SPDX-License-Identifier: MIT */
#include "common/queue_fsck.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 100       /* records of a call: some milliseconds at most */
#define LANE_PAGE 2000 /* ids of a call */
#define CURSOR_SIZE 24
#define MAX_MODELS 4096
#define ACTIVITY_SIZE 160

/* What the records say of a model. */
struct tally {
    char model[JOB_MODEL_SIZE];
    char activity[ACTIVITY_SIZE]; /* before the first record was looked at */
    int64_t queued[JOB_PRIORITY_COUNT], running, delayed, dead;
};

/* SCAN shows a record twice when Redis resizes its table meanwhile, and it shall count once. Open
 * addressing; 0 is an empty slot, so the job of that id, if it ever comes, may count twice. */
struct id_set {
    uint64_t *slots; /* owned */
    size_t capacity, count;
};

struct fsck {
    const struct queue *queue;
    struct redis *redis;
    const struct queue_fsck_options *options;
    struct queue_fsck_report *report;
    struct redis_command command;
    struct tally *tallies; /* owned */
    size_t tally_count;
    struct id_set seen;
};

static bool id_set_insert(struct id_set *set, uint64_t id)
{
    size_t at = (size_t)(id * 0x9e3779b97f4a7c15u >> 16) & (set->capacity - 1);
    while (set->slots[at] && set->slots[at] != id)
        at = (at + 1) & (set->capacity - 1);
    if (set->slots[at] == id)
        return false;
    set->slots[at] = id;
    set->count++;
    return true;
}

static int id_set_grow(struct id_set *set)
{
    struct id_set larger = {.capacity = set->capacity ? 2 * set->capacity : 1024};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots)
        return ERR_NOMEM;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i])
            id_set_insert(&larger, set->slots[i]);
    free(set->slots);
    *set = larger;
    return 0;
}

/* *out_new is false when the id was there already. */
static int id_set_add(struct id_set *set, uint64_t id, bool *out_new)
{
    int rc = 2 * set->count >= set->capacity ? id_set_grow(set) : 0;
    if (rc == 0)
        *out_new = id_set_insert(set, id);
    return rc;
}

static int call(struct fsck *fsck, struct redis_reply **out_reply, struct err *err)
{
    int64_t timeout_ms = fsck->options->timeout_ms ? fsck->options->timeout_ms : 10000;
    return redis_call(fsck->redis, &fsck->command, timeout_ms, out_reply, err);
}

static void report(struct fsck *fsck, const char *name, const char *what, bool mended)
{
    fsck->report->findings++;
    fsck->report->mended += mended;
    if (fsck->options->each)
        fsck->options->each(name, what, mended, fsck->options->data);
}

/* A line `Fname what`. */
static void report_line(struct fsck *fsck, const char *line)
{
    char name[256];
    size_t length = strcspn(line + 1, " ");
    snprintf(name, sizeof name, "%.*s", (int)length, line + 1);
    report(fsck, name, line[1 + length] ? line + 2 + length : "", line[0] == 'M');
}

/* ---- types: a foreign key under one of our names would fail every script ----------------------
 */

static const struct {
    const char *name, *type;
} fixed_keys[] = {{"lease", "zset"},  {"run", "hash"},     {"delay", "zset"},   {"done", "zset"},
                  {"dlq", "zset"},    {"corrupt", "zset"}, {"workers", "zset"}, {"models", "set"},
                  {"trash", "zset"},  {"ev", "stream"},    {"out", "stream"},   {"due", "zset"},
                  {"unsent", "zset"}, {"need", "hash"},    {"kin", "list"},     {"parents", "set"},
                  {"open", "zset"},   {"hooks", "zset"}};

static int mend_type(struct fsck *fsck, const char *name, struct err *err)
{
    char away[64];
    struct redis_reply *reply = NULL;
    snprintf(away, sizeof away, "bad:%s", name);
    redis_command_clear(&fsck->command);
    redis_command_text(&fsck->command, "RENAME");
    queue_add_key(fsck->queue, &fsck->command, name, "");
    queue_add_key(fsck->queue, &fsck->command, away, "");
    int rc = call(fsck, &reply, err);
    redis_reply_free(&reply);
    return rc;
}

static int check_types(struct fsck *fsck, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof fixed_keys / sizeof fixed_keys[0]; i++) {
        struct redis_reply *reply = NULL;
        redis_command_clear(&fsck->command);
        redis_command_text(&fsck->command, "TYPE");
        queue_add_key(fsck->queue, &fsck->command, fixed_keys[i].name, "");
        rc = call(fsck, &reply, err);
        const char *type = redis_reply_text(reply);
        if (rc == 0 && strcmp(type, "none") && strcmp(type, fixed_keys[i].type)) {
            char what[96];
            snprintf(what, sizeof what, "a %.20s, expected a %s", type, fixed_keys[i].type);
            report(fsck, fixed_keys[i].name, what, fsck->options->mend);
            rc = fsck->options->mend
                     ? mend_type(fsck, fixed_keys[i].name, err)
                     : err_set(err, ERR_CORRUPT, "redis",
                               "nothing else can be checked while %s is no %s: mend it first",
                               fixed_keys[i].name, fixed_keys[i].type);
        }
        redis_reply_free(&reply);
    }
    return rc;
}

/* ---- counters ---------------------------------------------------------------------------------
 */

static struct tally *tally_of(struct fsck *fsck, const char *model)
{
    for (size_t i = 0; i < fsck->tally_count; i++)
        if (!strcmp(fsck->tallies[i].model, model))
            return &fsck->tallies[i];
    return NULL;
}

static void begin_counts(struct fsck *fsck, const char *model, const char *activity)
{
    queue_begin(fsck->queue, &fsck->command, &queue_script_fsck_counts);
    redis_command_int(&fsck->command, fsck->options->mend);
    redis_command_text(&fsck->command, model);
    redis_command_text(&fsck->command, activity);
}

/* One tally for each model, with what it has done until now. */
static int open_tallies(struct fsck *fsck, struct err *err)
{
    struct redis_reply *models = NULL;
    redis_command_clear(&fsck->command);
    redis_command_text(&fsck->command, "SMEMBERS");
    queue_add_key(fsck->queue, &fsck->command, "models", "");
    int rc = call(fsck, &models, err);
    size_t count = redis_reply_count(models);
    if (rc == 0 && count > MAX_MODELS)
        rc = err_set(err, ERR_LIMIT, "models", "more than %d models", MAX_MODELS);
    if (rc == 0 && !(fsck->tallies = calloc(count + 1, sizeof *fsck->tallies)))
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct tally *tally = &fsck->tallies[i];
        struct redis_reply *reply = NULL;
        snprintf(tally->model, sizeof tally->model, "%s",
                 redis_reply_text(redis_reply_at(models, i)));
        begin_counts(fsck, tally->model, "");
        rc = call(fsck, &reply, err);
        snprintf(tally->activity, sizeof tally->activity, "%s",
                 redis_reply_text(redis_reply_at(reply, 0)));
        redis_reply_free(&reply);
        fsck->tally_count = i + 1;
    }
    redis_reply_free(&models);
    return rc;
}

/* `S`, the state, the priority, 1 if dead, the model */
static void tally_record(struct fsck *fsck, const char *line)
{
    struct tally *tally = strlen(line) > 4 ? tally_of(fsck, line + 4) : NULL;
    unsigned priority = tally ? (unsigned)(line[2] - '0') : 0;
    if (!tally || priority >= JOB_PRIORITY_COUNT)
        return;
    tally->queued[priority] += line[1] == 'Q';
    tally->running += line[1] == 'R';
    tally->delayed += line[1] == 'D';
    tally->dead += line[3] == '1';
}

static int check_counts(struct fsck *fsck, const struct tally *tally, struct err *err)
{
    const struct {
        const char *name;
        int64_t value;
    } fields[] = {{"queued0", tally->queued[0]}, {"queued1", tally->queued[1]},
                  {"queued2", tally->queued[2]}, {"running", tally->running},
                  {"delayed", tally->delayed},   {"dead", tally->dead}};
    struct redis_reply *reply = NULL;
    begin_counts(fsck, tally->model, tally->activity);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        redis_command_text(&fsck->command, fields[i].name);
        redis_command_int(&fsck->command, fields[i].value);
    }
    int rc = call(fsck, &reply, err);
    if (rc == 0 && strcmp(redis_reply_text(redis_reply_at(reply, 0)), tally->activity))
        fsck->report->busy++;
    for (size_t i = 1; rc == 0 && i < redis_reply_count(reply); i++)
        report_line(fsck, redis_reply_text(redis_reply_at(reply, i)));
    redis_reply_free(&reply);
    return rc;
}

static int check_all_counts(struct fsck *fsck, struct err *err)
{
    int rc = 0;
    struct redis_reply *reply = NULL;
    for (size_t i = 0; rc == 0 && i < fsck->tally_count; i++)
        rc = check_counts(fsck, &fsck->tallies[i], err);
    if (rc < 0)
        return rc;
    begin_counts(fsck, "", "");
    rc = call(fsck, &reply, err);
    for (size_t i = 1; rc == 0 && i < redis_reply_count(reply); i++)
        report_line(fsck, redis_reply_text(redis_reply_at(reply, i)));
    redis_reply_free(&reply);
    return rc;
}

/* ---- records ----------------------------------------------------------------------------------
 */

static int read_job(struct fsck *fsck, const struct redis_reply *lines, struct err *err)
{
    char name[32];
    uint64_t id;
    bool is_new = true;
    snprintf(name, sizeof name, "j:%.20s", redis_reply_text(redis_reply_at(lines, 0)));
    /* A key that is no job's name has been reported and counts for nothing. */
    if (queue_parse_id(redis_reply_at(lines, 0), &id) == 0 &&
        id_set_add(&fsck->seen, id, &is_new) < 0)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the ids of %zu records",
                       fsck->seen.count);
    fsck->report->records += is_new;
    for (size_t i = 1; i < redis_reply_count(lines); i++) {
        const char *line = redis_reply_text(redis_reply_at(lines, i));
        if (line[0] == 'S' && is_new)
            tally_record(fsck, line);
        else if (line[0] == 'O' && is_new && fsck->options->object)
            fsck->options->object(line + 1, fsck->options->data);
        else if (line[0] == 'F' || line[0] == 'M')
            report(fsck, name, line + 1, line[0] == 'M');
    }
    return 0;
}

static int check_jobs(struct fsck *fsck, struct err *err)
{
    char cursor[CURSOR_SIZE] = "0";
    int rc;
    do {
        struct redis_reply *reply = NULL;
        queue_begin(fsck->queue, &fsck->command, &queue_script_fsck_jobs);
        redis_command_int(&fsck->command, fsck->options->mend);
        redis_command_int(&fsck->command, fsck->queue->retain_ms);
        redis_command_text(&fsck->command, cursor);
        redis_command_int(&fsck->command, PAGE);
        rc = call(fsck, &reply, err);
        if (rc == 0 && queue_copy(cursor, sizeof cursor, redis_reply_at(reply, 0)) < 0)
            rc = queue_bad_reply("fsck_jobs", err);
        for (size_t i = 1; rc == 0 && i < redis_reply_count(reply); i++)
            rc = read_job(fsck, redis_reply_at(reply, i), err);
        redis_reply_free(&reply);
    } while (rc == 0 && strcmp(cursor, "0"));
    return rc;
}

/* ---- places -----------------------------------------------------------------------------------
 */

/* `model:priority flow`: a lane may be long, so it is looked at in pages of its own. */
static int check_lane(struct fsck *fsck, const char *lane, struct err *err)
{
    char set[80], name[160], what[96];
    const char *flow = strchr(lane, ' ');
    int64_t first = 0, size, gone = 0, astray = 0;
    int rc;
    if (!flow)
        return queue_bad_reply("fsck_places", err);
    snprintf(set, sizeof set, "%.*s", (int)(flow - lane), lane);
    snprintf(name, sizeof name, "r:%s:%s", set, flow + 1);
    do {
        struct redis_reply *reply = NULL;
        queue_begin(fsck->queue, &fsck->command, &queue_script_fsck_lane);
        redis_command_int(&fsck->command, fsck->options->mend);
        redis_command_text(&fsck->command, set);
        redis_command_text(&fsck->command, flow + 1);
        redis_command_int(&fsck->command, first);
        redis_command_int(&fsck->command, LANE_PAGE);
        rc = call(fsck, &reply, err);
        size = redis_reply_int(redis_reply_at(reply, 0));
        gone += redis_reply_int(redis_reply_at(reply, 1));
        astray += redis_reply_int(redis_reply_at(reply, 2));
        first += size;
        redis_reply_free(&reply);
    } while (rc == 0 && size == LANE_PAGE);
    if (gone > 0) {
        snprintf(what, sizeof what, "%" PRId64 " of %" PRId64 " ids name no record", gone, first);
        report(fsck, name, what, fsck->options->mend);
    }
    if (astray > 0) {
        snprintf(what, sizeof what, "%" PRId64 " ids of jobs that wait in another lane", astray);
        report(fsck, name, what, false);
    }
    return rc;
}

static int read_places(struct fsck *fsck, const struct redis_reply *reply, struct err *err)
{
    int rc = 0;
    for (size_t i = 1; rc == 0 && i < redis_reply_count(reply); i++) {
        const char *line = redis_reply_text(redis_reply_at(reply, i));
        if (line[0] == 'L')
            rc = check_lane(fsck, line + 1, err);
        else
            report_line(fsck, line);
    }
    return rc;
}

/* `place` NULL: the notifications. */
static int check_place(struct fsck *fsck, const char *place, struct err *err)
{
    char cursor[CURSOR_SIZE] = "0";
    int rc;
    do {
        struct redis_reply *reply = NULL;
        queue_begin(fsck->queue, &fsck->command,
                    place ? &queue_script_fsck_places : &queue_script_fsck_rows);
        redis_command_int(&fsck->command, fsck->options->mend);
        if (place)
            redis_command_text(&fsck->command, place);
        redis_command_text(&fsck->command, cursor);
        redis_command_int(&fsck->command, PAGE);
        rc = call(fsck, &reply, err);
        if (rc == 0 && queue_copy(cursor, sizeof cursor, redis_reply_at(reply, 0)) < 0)
            rc = queue_bad_reply(place ? "fsck_places" : "fsck_rows", err);
        if (rc == 0)
            rc = read_places(fsck, reply, err);
        redis_reply_free(&reply);
    } while (rc == 0 && strcmp(cursor, "0"));
    return rc;
}

int queue_fsck(const struct queue *queue, struct redis *redis,
               const struct queue_fsck_options *options, struct queue_fsck_report *out,
               struct err *err)
{
    static const char *const places[] = {"lease", "run", "delay", "done", "dlq", "ring"};
    struct fsck fsck = {.queue = queue, .redis = redis, .options = options, .report = out};
    redis_command_init(&fsck.command, QUEUE_COMMAND_MAX);
    int rc = check_types(&fsck, err);
    if (rc == 0)
        rc = open_tallies(&fsck, err);
    /* Ids without a record go before records without a place come in: the counters follow. */
    for (size_t i = 0; rc == 0 && i < sizeof places / sizeof places[0]; i++)
        rc = check_place(&fsck, places[i], err);
    if (rc == 0)
        rc = check_jobs(&fsck, err);
    if (rc == 0)
        rc = check_place(&fsck, NULL, err);
    if (rc == 0)
        rc = check_all_counts(&fsck, err);
    free(fsck.seen.slots);
    free(fsck.tallies);
    redis_command_fini(&fsck.command);
    return rc;
}
