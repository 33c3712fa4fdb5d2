/* SPDX-License-Identifier: MIT
 *
 * darkroom get, watch, cancel, delete, list and models. */
#include "common/err.h"
#include "dispatcher/cli_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The job that `id` names: from the state file, or from --token for any id. */
static int find_job(struct cli *cli, const char *id, struct cli_job *out, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    char path[CLI_STATE_PATH];
    struct err unknown = {0};
    *out = (struct cli_job){0};
    int rc = cli_state_path(path, &unknown);
    if (rc == 0)
        rc = cli_state_find(path, id, out, &unknown);
    if (rc < 0 && settings->token && id_public_valid(id))
        snprintf(out->id, sizeof out->id, "%s", id);
    else if (rc < 0)
        return err_set(err, rc, unknown.field, "%s", unknown.text);
    if (settings->token) {
        if (strlen(settings->token) >= CLI_MAX_TOKEN)
            return err_set(err, ERR_LIMIT, "token", "--token is longer than %d bytes",
                           CLI_MAX_TOKEN - 1);
        snprintf(out->view, sizeof out->view, "%s", settings->token);
        snprintf(out->manage, sizeof out->manage, "%s", settings->token);
        snprintf(out->erase, sizeof out->erase, "%s", settings->token);
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

int cli_list(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    char path[CLI_STATE_PATH];
    struct cli_job *jobs = NULL;
    size_t count = 0;
    json_t *all = json_array();
    int rc = all ? cli_state_path(path, err) : ERR_NOMEM;
    if (rc == 0)
        rc = cli_state_list(path, (size_t)cli->settings.limit, &jobs, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct cli_status status;
        json_t *resource = NULL;
        char line[320];
        if (cli->settings.server && strcmp(cli->settings.server, jobs[i].server))
            continue;
        rc = describe(cli, &jobs[i], &resource, &status, err);
        if (rc == 0 && !cli->settings.json) {
            cli_view_format(&status, false, line, sizeof line);
            printf("%s  %-20.20s  %-24s %s\n", jobs[i].id, jobs[i].created_at, status.model, line);
        }
        if (rc == 0 && json_array_append_new(all, resource) < 0)
            rc = ERR_NOMEM;
    }
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(all, err);
    else if (rc == 0 && json_array_size(all) == 0)
        puts("No jobs yet.");
    json_decref(all);
    free(jobs);
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
