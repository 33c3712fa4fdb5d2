/* SPDX-License-Identifier: MIT
 *
 * darkroom fsck: does the queue hold together, and does the object store hold what the records say
 * and nothing else? Goes to Redis and the store themselves. */
#include "common/clock.h"
#include "common/err.h"
#include "common/mail_ledger.h"
#include "common/queue_fsck.h"
#include "common/redis.h"
#include "common/store.h"
#include "dispatcher/cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 10000
#define MAX_ORPHANS 100000
/* Younger ones may belong to a job that is about to be submitted or completed. */
#define MIN_AGE_MS (3600 * 1000)
/* So many orphans that are also most of the objects look like the wrong Redis: none is deleted. */
#define FEW_ORPHANS 8

struct fsck {
    struct cli *cli;
    struct redis *redis; /* owned */
    struct store *store; /* owned; NULL: objects are not looked at */
    json_t *findings;    /* owned */
    json_t *orphans;     /* owned; keys */
    unsigned shard, shards;
    int64_t objects, object_findings, object_mended;
    struct queue_fsck_report report;
    struct err err; /* of the store, while records are read */
    int rc;
};

static void tell(struct fsck *fsck, const char *name, const char *what, bool mended)
{
    if (fsck->cli->settings.json)
        json_array_append_new(fsck->findings, json_pack("{s:s, s:s, s:b}", "name", name, "what",
                                                        what, "mended", mended));
    else
        printf("%s: %s%s\n", name, what, mended ? " (mended)" : "");
}

static void on_finding(const char *name, const char *what, bool mended, void *data)
{
    struct fsck *fsck = data;
    char key[300];
    snprintf(key, sizeof key, "{q:%02x}%s", fsck->shard, name);
    tell(fsck, key, what, mended);
}

/* An object that a record needs. It cannot be made again, so this is never mended. */
static void on_object(const char *key, void *data)
{
    struct fsck *fsck = data;
    int64_t bytes;
    if (!fsck->store || fsck->rc < 0)
        return;
    int rc = store_head(fsck->store, key, &bytes, &fsck->err);
    fsck->objects += rc == 0;
    if (rc == ERR_NOT_FOUND) {
        fsck->err = (struct err){0};
        fsck->object_findings++;
        tell(fsck, key, "a record names this object, and it is not there", false);
    } else if (rc < 0) {
        fsck->rc = rc;
    }
}

/* ---- objects that no record names ------------------------------------------------------------ */

static int has_record(struct fsck *fsck, const char *public_id, bool *out_has, struct err *err)
{
    struct queue queue;
    struct queue_job job;
    struct err why = {0};
    queue_init(&queue, id_public_shard(public_id), 1);
    int rc = queue_get(&queue, fsck->redis, public_id, TIMEOUT_MS, &job, &why);
    *out_has = rc == 0 || rc == ERR_CORRUPT;
    if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT)
        return err_set(err, rc, why.field, "%s", why.text);
    return 0;
}

static int look_at_object(const struct store_entry *entry, void *data, struct err *err)
{
    struct fsck *fsck = data;
    char public_id[ID_PUBLIC_SIZE];
    bool has = true;
    fsck->objects++;
    if (entry->modified_ms > clock_wall_ms() - MIN_AGE_MS ||
        !job_key_public_id(entry->key, public_id) || id_public_shard(public_id) >= fsck->shards)
        return 0;
    int rc = has_record(fsck, public_id, &has, err);
    if (rc == 0 && !has && json_array_size(fsck->orphans) < MAX_ORPHANS)
        json_array_append_new(fsck->orphans, json_string(entry->key));
    return rc;
}

static int mend_orphans(struct fsck *fsck, struct err *err)
{
    size_t count = json_array_size(fsck->orphans);
    bool mend = fsck->cli->settings.mend;
    int rc = 0;
    if (mend && count > FEW_ORPHANS && (int64_t)count > fsck->objects / 2) {
        fputs("darkroom: most objects belong to no job, so none is deleted: is this the right "
              "Redis?\n",
              stderr);
        mend = false;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const char *key = json_string_value(json_array_get(fsck->orphans, i));
        if (mend)
            rc = store_delete(fsck->store, key, err);
        if (rc < 0)
            break;
        tell(fsck, key, "an object that no record names", mend);
        fsck->object_findings++;
        fsck->object_mended += mend;
    }
    return rc;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int check_queues(struct fsck *fsck, struct err *err)
{
    const struct queue_fsck_options options = {.mend = fsck->cli->settings.mend,
                                               .each = on_finding,
                                               .object = on_object,
                                               .data = fsck,
                                               .timeout_ms = TIMEOUT_MS};
    int rc = 0;
    for (fsck->shard = 0; rc == 0 && fsck->shard < fsck->shards; fsck->shard++) {
        struct queue queue;
        queue_init(&queue, fsck->shard, 1);
        queue.shards = fsck->shards;
        if (fsck->shard == 0)
            rc = queue_check(&queue, fsck->redis, TIMEOUT_MS, err);
        if (rc == 0)
            rc = queue_fsck(&queue, fsck->redis, &options, &fsck->report, err);
        if (rc == 0 && fsck->rc < 0)
            rc = err_set(err, fsck->rc, fsck->err.field, "%s", fsck->err.text);
    }
    return rc;
}

static void on_mail_finding(const char *name, const char *what, bool mended, void *data)
{
    struct fsck *fsck = data;
    fsck->report.findings++;
    fsck->report.mended += mended;
    tell(fsck, name, what, mended);
}

static int print_summary(struct fsck *fsck, struct err *err)
{
    int64_t findings = fsck->report.findings + fsck->object_findings;
    int64_t mended = fsck->report.mended + fsck->object_mended;
    if (fsck->cli->settings.json) {
        json_t *summary =
            json_pack("{s:O, s:I, s:I, s:I, s:I, s:I}", "findings", fsck->findings, "records",
                      (json_int_t)fsck->report.records, "objects", (json_int_t)fsck->objects,
                      "found", (json_int_t)findings, "mended", (json_int_t)mended,
                      "counters_not_judged", (json_int_t)fsck->report.busy);
        int rc = summary ? cli_print_json(summary, err) : ERR_NOMEM;
        json_decref(summary);
        return rc;
    }
    printf("%" PRId64 " records", fsck->report.records);
    if (fsck->store)
        printf(", %" PRId64 " objects", fsck->objects);
    printf(": %" PRId64 " findings, %" PRId64 " mended\n", findings, mended);
    if (fsck->report.busy)
        printf("The counters of %" PRId64
               " models moved meanwhile and were not judged; run again when they rest.\n",
               fsck->report.busy);
    return 0;
}

int cli_fsck(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    struct fsck fsck = {.cli = cli, .shards = (unsigned)cli->settings.shards};
    fsck.findings = json_array();
    fsck.orphans = json_array();
    int rc = fsck.findings && fsck.orphans ? 0 : ERR_NOMEM;
    if (rc == 0 && cli->settings.store.url)
        rc = cli_open_store(cli, &fsck.store, err);
    if (rc == 0)
        rc = cli_open_redis(cli, &fsck.redis, err);
    if (rc == 0)
        rc = check_queues(&fsck, err);
    if (rc == 0)
        rc = mail_ledger_fsck(fsck.redis, cli->settings.mend, TIMEOUT_MS, on_mail_finding, &fsck,
                              err);
    if (rc == 0 && fsck.store)
        rc = store_each(fsck.store, "inputs/", look_at_object, &fsck, err);
    if (rc == 0 && fsck.store)
        rc = store_each(fsck.store, "results/", look_at_object, &fsck, err);
    if (rc == 0 && fsck.store)
        rc = mend_orphans(&fsck, err);
    if (rc == 0)
        rc = print_summary(&fsck, err);
    if (rc == 0 &&
        fsck.report.findings + fsck.object_findings > fsck.report.mended + fsck.object_mended)
        cli->exit_status = CLI_EXIT_FAILED;
    redis_destroy(&fsck.redis);
    store_close(&fsck.store);
    json_decref(fsck.findings);
    json_decref(fsck.orphans);
    return rc;
}
