/* SPDX-License-Identifier: MIT
 *
 * darkroom get, watch, cancel, delete, list and models. */
#include "common/err.h"
#include "dispatcher/cli/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_PAGE 100 /* what the server gives at once */

/* The job that `id` names: from the state file, or with a token or a key for any id. */
static int find_job(struct cli *cli, const char *id, struct cli_job *out, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    const char *token = cli_token(cli);
    char path[CLI_STATE_PATH];
    struct err unknown = {0};
    *out = (struct cli_job){0};
    int rc = cli_state_path(path, &unknown);
    if (rc == 0)
        rc = cli_state_find(path, id, out, &unknown);
    if (rc < 0 && token && id_public_valid(id))
        snprintf(out->id, sizeof out->id, "%s", id);
    else if (rc < 0)
        return err_set(err, rc, unknown.field, "%s", unknown.text);
    if (token) {
        snprintf(out->view, sizeof out->view, "%s", token);
        snprintf(out->manage, sizeof out->manage, "%s", token);
        snprintf(out->erase, sizeof out->erase, "%s", token);
    }
    if (settings->server || !out->server[0])
        snprintf(out->server, sizeof out->server, "%s",
                 settings->server ? settings->server : CLI_DEFAULT_SERVER);
    return 0;
}

static int fetch_job(struct cli *cli, const struct cli_job *job, json_t **out_resource,
                     struct err *err)
{
    char path[CLI_PATH_SIZE];
    cli_job_path(job, "", path);
    return cli_call(cli,
                    &(struct cli_request){
                        .server = job->server, .method = "GET", .path = path, .token = job->view},
                    out_resource, err);
}

/* Shows a job that `obtain` asks the server for, and saves its result where that is wanted. */
static int show_job(struct cli *cli, const char *id,
                    int (*obtain)(struct cli *, const struct cli_job *, json_t **, struct err *),
                    struct err *err)
{
    struct cli_job job;
    json_t *resource = NULL;
    int rc = find_job(cli, id, &job, err);
    if (rc == 0)
        rc = obtain(cli, &job, &resource, err);
    if (rc == 0)
        rc = cli_print_job(cli, resource, err);
    if (rc == 0 && cli->settings.output && cli->exit_status == 0)
        rc = cli_save_result(cli, &job, err);
    json_decref(resource);
    return rc;
}

int cli_get(struct cli *cli, const char *id, struct err *err)
{
    return show_job(cli, id, fetch_job, err);
}

int cli_watch(struct cli *cli, const char *id, struct err *err)
{
    return show_job(cli, id, cli_follow, err);
}

int cli_cancel(struct cli *cli, const char *id, struct err *err)
{
    struct cli_job job;
    char path[CLI_PATH_SIZE];
    json_t *resource = NULL;
    int rc = find_job(cli, id, &job, err);
    if (rc == 0) {
        cli_job_path(&job, "/cancel", path);
        rc =
            cli_call(cli,
                     &(struct cli_request){
                         .server = job.server, .method = "POST", .path = path, .token = job.manage},
                     &resource, err);
    }
    if (rc == 0)
        rc = cli_print_job(cli, resource, err);
    /* That the job is cancelled now is what was wanted. */
    if (rc == 0 && cli->exit_status == CLI_EXIT_CANCELLED)
        cli->exit_status = 0;
    json_decref(resource);
    return rc;
}

int cli_delete(struct cli *cli, const char *id, struct err *err)
{
    struct cli_job job;
    char path[CLI_PATH_SIZE], state[CLI_STATE_PATH];
    int rc = find_job(cli, id, &job, err);
    if (rc < 0)
        return rc;
    cli_job_path(&job, "", path);
    rc = cli_call(cli,
                  &(struct cli_request){
                      .server = job.server, .method = "DELETE", .path = path, .token = job.erase},
                  NULL, err);
    if (rc < 0)
        return rc;
    if (cli_state_path(state, NULL) == 0)
        rc = cli_state_remove(state, job.id, err);
    if (!cli->settings.json)
        printf("Deleted: %s\n", job.id);
    return rc;
}

/* What the server says of a job now; "gone" where it no longer knows it. */
static int describe(struct cli *cli, const struct cli_job *job, json_t **out_resource,
                    struct cli_status *out_status, struct err *err)
{
    struct err inner = {0};
    json_t *resource = NULL;
    int rc = fetch_job(cli, job, &resource, &inner);
    if (rc == 0)
        rc = cli_read_status(resource, out_status, &inner);
    if (rc == ERR_NOT_FOUND || rc == ERR_DENIED) {
        *out_status = (struct cli_status){.position = -1, .eta_s = -1, .state = "gone"};
        snprintf(out_status->id, sizeof out_status->id, "%s", job->id);
        snprintf(out_status->model, sizeof out_status->model, "%s", job->model);
        resource =
            json_pack("{s:s, s:s, s:s}", "id", job->id, "model", job->model, "state", "gone");
        rc = resource ? 0 : ERR_NOMEM;
    }
    if (rc < 0) {
        json_decref(resource);
        return err_set(err, rc, inner.field, "%s", inner.text);
    }
    *out_resource = resource;
    return 0;
}

static void print_in_list(const struct cli_status *status, const char *created_at)
{
    char line[320];
    cli_view_format(status, false, line, sizeof line);
    printf("%s  %-20.20s  %-24s %s\n", status->id, created_at, status->model, line);
}

/* Moves the jobs of a page to the end of `all`, printing them where they are for people. */
static int take_page(const struct cli *cli, const json_t *answer, json_t *all, struct err *err)
{
    json_t *jobs = NULL;
    int rc = json_get_array(answer, "jobs", LIST_PAGE, &jobs, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(jobs); i++) {
        json_t *job = json_array_get(jobs, i);
        const char *created = "";
        struct cli_status status;
        rc = cli_read_status(job, &status, err);
        if (rc == 0)
            rc = json_opt_text(job, "created_at", 64, &created, err);
        if (rc == 0 && !cli->settings.json)
            print_in_list(&status, created);
        if (rc == 0 && json_array_append(all, job) < 0)
            rc = ERR_NOMEM;
    }
    return rc;
}

/* The newest jobs of the key's account, from the server. */
static int list_account(struct cli *cli, json_t *all, struct err *err)
{
    const char *server = cli->settings.server ? cli->settings.server : CLI_DEFAULT_SERVER;
    char path[CLI_PATH_SIZE], cursor[24] = "";
    int rc = 0;
    do {
        json_t *answer = NULL;
        const char *next = "";
        int64_t wanted = cli->settings.limit - (int64_t)json_array_size(all);
        snprintf(path, sizeof path, "/v1/jobs?limit=%d%s%s",
                 (int)(wanted < LIST_PAGE ? wanted : LIST_PAGE), *cursor ? "&cursor=" : "", cursor);
        rc = cli_call(cli,
                      &(struct cli_request){
                          .server = server, .method = "GET", .path = path, .token = cli_token(cli)},
                      &answer, err);
        if (rc == 0)
            rc = take_page(cli, answer, all, err);
        if (rc == 0)
            rc = json_opt_text(answer, "next", sizeof cursor - 1, &next, err);
        /* Only digits may stand in a path that we ask for. */
        snprintf(cursor, sizeof cursor, "%.*s", (int)strspn(next, "0123456789"), next);
        json_decref(answer);
    } while (rc == 0 && *cursor && json_array_size(all) < (size_t)cli->settings.limit);
    return rc;
}

/* The jobs of the state file, and what their servers say of them. */
static int list_own(struct cli *cli, json_t *all, struct err *err)
{
    char path[CLI_STATE_PATH];
    struct cli_job *jobs = NULL;
    size_t count = 0;
    int rc = cli_state_path(path, err);
    if (rc == 0)
        rc = cli_state_list(path, (size_t)cli->settings.limit, &jobs, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct cli_status status;
        json_t *resource = NULL;
        if (cli->settings.server && strcmp(cli->settings.server, jobs[i].server))
            continue;
        rc = describe(cli, &jobs[i], &resource, &status, err);
        if (rc == 0 && !cli->settings.json)
            print_in_list(&status, jobs[i].created_at);
        if (rc == 0 && json_array_append_new(all, resource) < 0)
            rc = ERR_NOMEM;
    }
    free(jobs);
    return rc;
}

int cli_list(struct cli *cli, const char *unused, struct err *err)
{
    json_t *all = json_array();
    int rc = ERR_NOMEM;
    if (all)
        rc = cli->key[0] ? list_account(cli, all, err) : list_own(cli, all, err);
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(all, err);
    else if (rc == 0 && json_array_size(all) == 0)
        puts("No jobs yet.");
    json_decref(all);
    return rc;
}

static int print_models(const json_t *answer, struct err *err)
{
    json_t *models = NULL;
    int rc = json_get_array(answer, "models", 1000, &models, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(models); i++) {
        const json_t *model = json_array_get(models, i);
        const char *name = "", *title = "", *description = "";
        rc = json_get_text(model, "name", 64, &name, err);
        if (rc == 0)
            rc = json_opt_text(model, "title", 200, &title, err);
        if (rc == 0)
            rc = json_opt_text(model, "description", 2000, &description, err);
        if (rc == 0)
            printf("%-24s %s%s%s\n", name, title, *description ? ". " : "", description);
    }
    return rc;
}

int cli_models(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    json_t *answer = NULL;
    const char *server = cli->settings.server ? cli->settings.server : CLI_DEFAULT_SERVER;
    int rc = cli_call(
        cli, &(struct cli_request){.server = server, .method = "GET", .path = "/v1/models"},
        &answer, err);
    if (rc == 0)
        rc = cli->settings.json ? cli_print_json(answer, err) : print_models(answer, err);
    json_decref(answer);
    return rc;
}
