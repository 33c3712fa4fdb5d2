/* SPDX-License-Identifier: MIT
 *
 * darkroom queues, workers, dead, pause and resume: what operators do over HTTP, with a key that
 * has the scope operate. */
#include "common/buf.h"
#include "common/err.h"
#include "common/job.h"
#include "dispatcher/cli/cli.h"

#include <stdio.h>
#include <string.h>

#define MAX_BODY_BYTES 65536
#define PAGE 50 /* dead letters that `dead replay all` takes at a time */

int cli_ask(struct cli *cli, const char *method, const char *path, const json_t *body,
            json_t **out_answer, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    if (!cli->key[0])
        return err_set(err, ERR_INVALID, "key-file", "--key-file wants a file with an API key");
    struct buf text;
    buf_init(&text, MAX_BODY_BYTES);
    int rc = body ? json_append(&text, body, JSON_COMPACT) : 0;
    if (rc == 0)
        rc = cli_call(cli,
                      &(struct cli_request){.server = settings->server ? settings->server
                                                                       : CLI_DEFAULT_SERVER,
                                            .method = method,
                                            .path = path,
                                            .token = cli->key,
                                            .content_type = body ? "application/json" : NULL,
                                            .body = text.data,
                                            .body_size = text.size},
                      out_answer, err);
    buf_fini(&text);
    return rc;
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

const char *cli_text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* `12 s`, `3 min`; "-" for null */
static const char *duration(const json_t *object, const char *name, char out[24])
{
    double seconds = json_number_value(json_object_get(object, name));
    if (seconds <= 0)
        return "-";
    if (seconds < 120)
        snprintf(out, 24, "%.*f s", seconds < 10 ? 1 : 0, seconds);
    else if (seconds < 7200)
        snprintf(out, 24, "%.0f min", seconds / 60);
    else
        snprintf(out, 24, "%.1f h", seconds / 3600);
    return out;
}

/* Asks, and prints the list `name` of the answer as JSON or line by line. */
static int print_list(struct cli *cli, const char *path, const char *name,
                      void (*print)(const json_t *item), const char *heading, struct err *err)
{
    json_t *result = NULL, *list = NULL;
    int rc = cli_ask(cli, "GET", path, NULL, &result, err);
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(result, err);
    else if (rc == 0)
        rc = json_get_array(result, name, 100000, &list, err);
    if (list)
        puts(json_array_size(list) ? heading : "None.");
    for (size_t i = 0; i < json_array_size(list); i++)
        print(json_array_get(list, i));
    json_decref(result);
    return rc;
}

static void print_queue(const json_t *queue)
{
    char oldest[24], service[24];
    printf("%-24s %9lld %8lld %8lld %6lld %9s %9s %7lld %5lld  %s\n", cli_text(queue, "model"),
           (long long)number(queue, "queued"), (long long)number(queue, "running"),
           (long long)number(queue, "delayed"), (long long)number(queue, "dead"),
           duration(queue, "oldest_seconds", oldest), duration(queue, "service_seconds", service),
           (long long)number(queue, "workers"), (long long)number(queue, "slots"),
           json_is_true(json_object_get(queue, "paused")) ? "paused" : "");
}

int cli_queues(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    return print_list(cli, "/v1/queues", "queues", print_queue,
                      "MODEL                       QUEUED  RUNNING  DELAYED   DEAD    OLDEST   "
                      "SERVICE WORKERS SLOTS",
                      err);
}

static void print_worker(const json_t *worker)
{
    const json_t *models = json_object_get(worker, "models");
    const json_t *running = json_object_get(worker, "running");
    char count[24] = "?";
    if (json_is_integer(running))
        snprintf(count, sizeof count, "%lld", (long long)json_integer_value(running));
    printf("%-36s %-10s %7s %5lld  %s", cli_text(worker, "id"), cli_text(worker, "device"), count,
           (long long)number(worker, "slots"),
           json_is_true(json_object_get(worker, "draining")) ? "draining " : "");
    for (size_t i = 0; i < json_array_size(models); i++)
        printf("%s%s", i ? "," : "", json_string_value(json_array_get(models, i)));
    putchar('\n');
}

int cli_workers(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    return print_list(cli, "/v1/workers", "workers", print_worker,
                      "WORKER                               DEVICE     RUNNING SLOTS  MODELS", err);
}

/* ---- the dead letter ------------------------------------------------------------------------- */

static void print_dead(const json_t *dead)
{
    const json_t *error = json_object_get(dead, "error");
    printf("%s  %.19s  %-20s %s: %s (attempts %lld, losses %lld, crashes %lld)\n",
           cli_text(dead, "id"), cli_text(dead, "died_at"), cli_text(dead, "model"),
           cli_text(error, "code"), cli_text(error, "detail"), (long long)number(dead, "attempts"),
           (long long)number(dead, "losses"), (long long)number(dead, "crashes"));
}

static int replay_one(struct cli *cli, const char *id, struct err *err)
{
    char path[CLI_PATH_SIZE];
    json_t *result = NULL;
    if (!id_public_valid(id))
        return err_set(err, ERR_INVALID, "id", "wanted: a job's whole id, or all");
    snprintf(path, sizeof path, "/v1/dead/%s/replay", id);
    int rc = cli_ask(cli, "POST", path, NULL, &result, err);
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(result, err);
    else if (rc == 0)
        printf("Queued again: %s\n", id);
    json_decref(result);
    return rc;
}

/* Page by page until the dead letter is empty, or holds only what cannot be replayed. */
static int replay_all(struct cli *cli, struct err *err)
{
    int rc = 0;
    size_t replayed;
    do {
        char path[CLI_PATH_SIZE];
        json_t *page = NULL, *list = NULL;
        replayed = 0;
        snprintf(path, sizeof path, "/v1/dead?limit=%d", PAGE);
        rc = cli_ask(cli, "GET", path, NULL, &page, err);
        if (rc == 0)
            rc = json_get_array(page, "dead", PAGE, &list, err);
        for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
            rc = replay_one(cli, cli_text(json_array_get(list, i), "id"), err);
            replayed += rc == 0;
            if (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND) { /* somebody else was faster */
                *err = (struct err){0};
                rc = 0;
            }
        }
        json_decref(page);
    } while (rc == 0 && replayed > 0);
    return rc;
}

int cli_dead(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    char path[CLI_PATH_SIZE];
    snprintf(path, sizeof path, "/v1/dead?limit=%lld", (long long)cli->settings.limit);
    return print_list(cli, path, "dead", print_dead,
                      "ID                                  DIED                 MODEL", err);
}

int cli_dead_replay(struct cli *cli, const char *id, struct err *err)
{
    return strcmp(id, "all") ? replay_one(cli, id, err) : replay_all(cli, err);
}

/* ---- pause and resume ------------------------------------------------------------------------ */

static int set_paused(struct cli *cli, const char *model, const char *verb, struct err *err)
{
    char path[CLI_PATH_SIZE];
    json_t *result = NULL;
    if (!job_model_valid(model))
        return err_set(err, ERR_INVALID, "model", "'%.40s' is no model's name", model);
    snprintf(path, sizeof path, "/v1/queues/%s/%s", model, verb);
    int rc = cli_ask(cli, "POST", path, NULL, &result, err);
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(result, err);
    else if (rc == 0)
        printf("%s is %s.\n", model,
               json_is_true(json_object_get(result, "paused"))
                   ? "paused: what runs goes on, nothing new is begun"
                   : "served");
    json_decref(result);
    return rc;
}

int cli_pause(struct cli *cli, const char *model, struct err *err)
{
    return set_paused(cli, model, "pause", err);
}

int cli_resume(struct cli *cli, const char *model, struct err *err)
{
    return set_paused(cli, model, "resume", err);
}
