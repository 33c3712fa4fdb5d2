/* SPDX-License-Identifier: MIT */
#include "worker/grants.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "worker/task.h"

#include <stdlib.h>
#include <string.h>

#define MAX_URL_BYTES 8192
#define MAX_SMALL_ID ((int64_t)1 << 53)

size_t grants_max_bytes(size_t count)
{
    return 1024 + count * (3 * MAX_URL_BYTES + 1024);
}

int grants_format(const char *worker, struct task *const *tasks, size_t count, struct buf *out,
                  struct err *err)
{
    json_t *jobs = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(jobs, json_pack("{s:I, s:I}", "id", (json_int_t)tasks[i]->id, "epoch",
                                              (json_int_t)tasks[i]->epoch));
    json_t *body = json_pack("{s:s, s:i, s:o}", "worker", worker, "shard",
                             count > 0 ? (int)tasks[0]->shard : 0, "jobs", jobs);
    int rc =
        body && json_array_size(jobs) == count ? json_append(out, body, JSON_COMPACT) : ERR_NOMEM;
    json_decref(body);
    return rc < 0 ? err_set(err, rc, NULL, "the request for grants doesn't fit in memory") : 0;
}

/* The answer's item for this task, or NULL. */
static const json_t *find_item(const json_t *items, const struct task *task)
{
    size_t i;
    const json_t *item;
    json_array_foreach(items, i, item)
    {
        const json_t *id = json_object_get(item, "id");
        const json_t *epoch = json_object_get(item, "epoch");
        if (json_is_integer(id) && (uint64_t)json_integer_value(id) == task->id &&
            json_is_integer(epoch) && (uint64_t)json_integer_value(epoch) == task->epoch)
            return item;
    }
    return NULL;
}

static int copy_text(const json_t *item, const char *path, size_t max_bytes, char **out,
                     struct err *err)
{
    const char *text;
    int rc = json_get_text(item, path, max_bytes, &text, err);
    if (rc == 0 && !(*out = strdup(text)))
        rc = ERR_NOMEM;
    return rc;
}

static int read_grant(const json_t *item, struct task_grant *out, struct err *err)
{
    struct task_grant grant = {0};
    json_t *headers = NULL;
    int rc = 0;
    if (json_object_get(item, "get")) /* absent: the job brings no input */
        rc = copy_text(item, "grants.get", MAX_URL_BYTES, &grant.get_url, err);
    if (rc == 0)
        rc = copy_text(item, "grants.put", MAX_URL_BYTES, &grant.put_url, err);
    if (rc == 0 && json_object_get(item, "put_crop"))
        rc = copy_text(item, "grants.put_crop", MAX_URL_BYTES, &grant.crop_url, err);
    if (rc == 0 && json_object_get(item, "put_heat_map"))
        rc = copy_text(item, "grants.put_heat_map", MAX_URL_BYTES, &grant.heat_map_url, err);
    if (rc == 0)
        rc = json_get_object(item, "grants.put_headers", &headers, err);
    if (rc == 0)
        rc = copy_text(headers, "grants.put_headers.Content-Type", 64, &grant.put_type, err);
    if (rc < 0)
        task_grant_fini(&grant);
    else
        *out = grant;
    return rc;
}

static int read_item(const json_t *items, const struct task *task, struct task_grant *out_grant,
                     bool *out_lost, struct err *err)
{
    const json_t *item = find_item(items, task);
    if (!item)
        return err_set(err, ERR_CORRUPT, "grants", "the answer leaves out a job");
    *out_lost = json_object_get(item, "error") != NULL;
    return *out_lost ? 0 : read_grant(item, out_grant, err);
}

int grants_parse(const void *data, size_t size, struct task *const *tasks, size_t count,
                 bool *out_lost, struct err *err)
{
    json_t *answer = NULL, *items = NULL;
    struct task_grant *grants = calloc(count, sizeof *grants);
    int rc = grants ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = json_parse(data, size,
                        (struct json_limits){.max_bytes = grants_max_bytes(count), .max_depth = 5},
                        &answer, err);
    if (rc == 0)
        rc = json_get_array(answer, "grants", count, &items, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = read_item(items, tasks[i], &grants[i], &out_lost[i], err);
    for (size_t i = 0; grants && i < count; i++) {
        if (rc == 0 && !out_lost[i]) {
            task_grant_fini(&tasks[i]->grant);
            tasks[i]->grant = grants[i];
        } else {
            task_grant_fini(&grants[i]);
        }
    }
    free(grants);
    json_decref(answer);
    /* Whatever the answer breaks: it came from our own dispatcher, so it is no one's input. */
    return rc == ERR_INVALID || rc == ERR_LIMIT ? ERR_CORRUPT : rc;
}
