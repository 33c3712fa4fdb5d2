/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/cli.h"

#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/file.h"
#include "common/http_client.h"
#include "common/stop.h"
#include "dispatcher/cli/events.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define MAX_ANSWER_BYTES (1 << 20)
#define MAX_URL 4096
#define MAX_AUTHORIZATION 128
#define TRANSFER_TIMEOUT_MS                                                                        \
    (30 * 60 * 1000) /* a large file on a thin line; a stall ends earlier                          \
                      */

static const struct json_limits answer_limits = {MAX_ANSWER_BYTES, 24};

const char *cli_token(const struct cli *cli)
{
    if (cli->token[0])
        return cli->token;
    return cli->key[0] ? cli->key : NULL;
}

void cli_job_path(const struct cli_job *job, const char *suffix, char out[CLI_PATH_SIZE])
{
    snprintf(out, CLI_PATH_SIZE, "/v1/jobs/%s%s", job->id, suffix);
}

/* ---- requests ------------------------------------------------------------------------------- */

static enum http_method method_of(const char *name)
{
    if (!strcmp(name, "POST"))
        return HTTP_POST;
    return strcmp(name, "DELETE") ? HTTP_GET : HTTP_DELETE;
}

static size_t add_authorization(struct http_header *headers, size_t count, const char *token,
                                char text[MAX_AUTHORIZATION])
{
    if (!token || !*token)
        return count;
    snprintf(text, MAX_AUTHORIZATION, "Bearer %s", token);
    headers[count] = (struct http_header){"Authorization", text};
    return count + 1;
}

/* The problem document in one line: detail, limit, when to come back. */
static int read_problem(struct cli *cli, const struct http_response *response, int code,
                        const struct err *plain, struct err *err)
{
    cli->refusal = response->status;
    const char *detail = NULL, *title = NULL, *field = "";
    int64_t limit = 0;
    char retry[64] = "", limits[64] = "";
    json_t *problem = NULL;
    if (!strncmp(response->content_type, "application/problem+json", 24) &&
        json_parse(response->body.data, response->body.size, answer_limits, &problem, NULL) == 0) {
        json_opt_text(problem, "detail", 400, &detail, NULL);
        json_opt_text(problem, "title", 100, &title, NULL);
        json_opt_text(problem, "field", 40, &field, NULL);
        json_opt_int(problem, "limit", INT64_MIN, INT64_MAX, &limit, NULL);
    }
    if (response->retry_after_s > 0)
        snprintf(retry, sizeof retry, "; try again in %lld s", (long long)response->retry_after_s);
    if (limit)
        snprintf(limits, sizeof limits, " (limit %lld)", (long long)limit);
    if (detail || title) /* a detail may name its field itself */
        err_set(err, code, field, "%s%s%.150s%s%s", detail && strstr(detail, field) ? "" : field,
                *field && !(detail && strstr(detail, field)) ? ": " : "", detail ? detail : title,
                limits, retry);
    else
        err_set(err, code, plain->field, "%s%s", plain->text, retry);
    json_decref(problem);
    return code;
}

static int on_request_progress(void *context, int64_t sent, int64_t received)
{
    (void)received;
    struct cli *cli = context;
    if (sent > 0)
        cli_view_upload(&cli->view, sent, cli->upload_bytes);
    return stop_requested() || (cli->deadline_ms && clock_ms() > cli->deadline_ms);
}

/* ERR_CANCELLED is either a signal or our own deadline. */
static int why_cancelled(const struct cli *cli, int rc, struct err *err)
{
    if (rc != ERR_CANCELLED)
        return rc;
    if (!stop_requested() && cli->deadline_ms && clock_ms() > cli->deadline_ms)
        return err_set(err, ERR_TIMEOUT, "timeout", "not ready after %lld s; the job goes on",
                       (long long)cli->settings.timeout_s);
    return err_set(err, ERR_CANCELLED, NULL, "interrupted");
}

int cli_call(struct cli *cli, const struct cli_request *request, json_t **out_answer,
             struct err *err)
{
    char url[MAX_URL], authorization[MAX_AUTHORIZATION];
    struct http_header headers[4] = {{"Accept", "application/json"}};
    size_t count = add_authorization(headers, 1, request->token, authorization);
    if (request->idempotency_key)
        headers[count++] = (struct http_header){"Idempotency-Key", request->idempotency_key};
    if (request->content_type)
        headers[count++] = (struct http_header){"Content-Type", request->content_type};
    snprintf(url, sizeof url, "%s%s", request->server, request->path);

    struct http_response response;
    struct err plain = {0};
    http_response_init(&response, MAX_ANSWER_BYTES);
    cli->upload_bytes = (int64_t)request->body_size;
    int rc = http_client_send(cli->http,
                              &(struct http_request){
                                  .method = method_of(request->method),
                                  .url = url,
                                  .headers = headers,
                                  .header_count = count,
                                  .body = request->body,
                                  .body_size = request->body_size,
                                  .total_timeout_ms = TRANSFER_TIMEOUT_MS,
                                  .on_progress = request->shows_upload ? on_request_progress : NULL,
                                  .context = cli,
                              },
                              &response, &plain);
    rc = why_cancelled(cli, rc, err);
    if (rc < 0)
        read_problem(cli, &response, rc, &plain, err);
    else if (out_answer && json_parse(response.body.data, response.body.size, answer_limits,
                                      out_answer, NULL) < 0)
        rc = err_set(err, ERR_CORRUPT, NULL, "what answers at %.100s is no Darkroom",
                     request->server);
    http_response_fini(&response);
    return rc;
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static void copy_text(const json_t *object, const char *name, char *out, size_t size)
{
    const char *text = "";
    json_opt_text(object, name, size - 1, &text, NULL);
    snprintf(out, size, "%s", text);
}

int cli_read_status(const json_t *resource, struct cli_status *out, struct err *err)
{
    struct cli_status status = {.position = -1, .eta_s = -1};
    const char *id = NULL, *state = NULL;
    struct err inner = {0};
    if (json_get_text(resource, "id", sizeof status.id - 1, &id, &inner) < 0 ||
        json_get_text(resource, "state", sizeof status.state - 1, &state, &inner) < 0)
        return err_set(err, ERR_CORRUPT, NULL, "the server sent no job: %.150s", inner.text);
    snprintf(status.id, sizeof status.id, "%s", id);
    snprintf(status.state, sizeof status.state, "%s", state);
    copy_text(resource, "model", status.model, sizeof status.model);
    json_opt_int(resource, "position", 0, INT64_MAX, &status.position, NULL);
    json_opt_int(resource, "eta_seconds", 0, INT64_MAX, &status.eta_s, NULL);
    json_opt_real(resource, "progress", 0, 1, &status.progress, NULL);
    const json_t *error = json_object_get(resource, "error");
    if (json_is_object(error)) {
        copy_text(error, "code", status.error_code, sizeof status.error_code);
        copy_text(error, "detail", status.error_detail, sizeof status.error_detail);
    }
    const json_t *links = json_object_get(resource, "links");
    if (json_is_object(links))
        copy_text(links, "page", status.page, sizeof status.page);
    *out = status;
    return 0;
}

/* ---- following ------------------------------------------------------------------------------ */

struct follow {
    struct cli *cli;
    struct cli_events events;
    json_t *last; /* owned: the newest resource */
    bool final;
    struct err *err;
};

static int on_event(void *context, const char *event, const char *data, size_t size)
{
    struct follow *follow = context;
    struct cli_status status;
    json_t *resource = NULL;
    if (strcmp(event, "job"))
        return 0;
    int rc = json_parse(data, size, answer_limits, &resource, follow->err);
    if (rc == 0)
        rc = cli_read_status(resource, &status, follow->err);
    if (rc < 0) {
        json_decref(resource);
        return rc;
    }
    json_decref(follow->last);
    follow->last = resource;
    follow->final = cli_status_is_final(&status);
    cli_view_status(&follow->cli->view, &status);
    return follow->final; /* ends the request: nothing follows */
}

static int on_event_data(void *context, const void *data, size_t size)
{
    struct follow *follow = context;
    int rc = cli_events_feed(&follow->events, data, size);
    if (rc < 0)
        err_set(follow->err, rc, NULL, "%s", err_name(rc));
    return rc;
}

static int on_event_progress(void *context, int64_t sent, int64_t received)
{
    (void)sent;
    (void)received;
    const struct cli *cli = ((struct follow *)context)->cli;
    return stop_requested() || (cli->deadline_ms && clock_ms() > cli->deadline_ms);
}

/* One connection's worth of events. */
static int follow_once(struct follow *follow, const struct cli_job *job, struct err *err)
{
    char path[CLI_PATH_SIZE], url[MAX_URL], authorization[MAX_AUTHORIZATION];
    struct http_header headers[3] = {{"Accept", "text/event-stream"}};
    size_t count = add_authorization(headers, 1, job->view, authorization);
    if (follow->events.last_id[0])
        headers[count++] = (struct http_header){"Last-Event-ID", follow->events.last_id};
    cli_job_path(job, "/events", path);
    snprintf(url, sizeof url, "%s%s", job->server, path);

    struct http_response response;
    struct err plain = {0};
    http_response_init(&response, MAX_ANSWER_BYTES);
    cli_events_reset(&follow->events);
    int rc = http_client_send(follow->cli->http,
                              &(struct http_request){
                                  .method = HTTP_GET,
                                  .url = url,
                                  .headers = headers,
                                  .header_count = count,
                                  .total_timeout_ms = -1,
                                  .on_progress = on_event_progress,
                                  .on_data = on_event_data,
                                  .context = follow,
                              },
                              &response, &plain);
    if (follow->final)
        rc = 0;
    else if (rc == 0)
        rc = ERR_UNAVAILABLE; /* the stream ended before the job did */
    else if (follow->err->code < 0)
        rc = err_set(err, ERR_CORRUPT, NULL, "the server sent no event: %.150s", follow->err->text);
    else if ((rc = why_cancelled(follow->cli, rc, err)) < 0)
        read_problem(follow->cli, &response, rc, &plain, err);
    http_response_fini(&response);
    return rc;
}

int cli_follow(struct cli *cli, const struct cli_job *job, json_t **out_resource, struct err *err)
{
    struct backoff backoff = {.base_ms = 200, .max_ms = 10000};
    struct err event_error = {0};
    struct follow follow = {.cli = cli, .err = &event_error};
    int rc;
    cli_events_init(&follow.events, on_event, &follow);
    for (;;) {
        struct err inner = {0};
        const json_t *before = follow.last;
        rc = follow_once(&follow, job, &inner);
        bool again = rc == ERR_UNAVAILABLE || (rc == ERR_TIMEOUT && strcmp(inner.field, "timeout"));
        if (follow.last != before)
            backoff_reset(&backoff);
        if (rc == 0 || !again) {
            if (rc < 0)
                err_set(err, rc, inner.field, "%s", inner.text);
            break;
        }
        if (inner.text[0])
            cli_view_note(&cli->view, "The server is away; waiting for it");
        struct pollfd stop = {.fd = stop_fd(), .events = POLLIN};
        poll(&stop, 1, (int)backoff_next_ms(&backoff));
    }
    cli_events_fini(&follow.events);
    cli_view_end(&cli->view);
    if (rc == 0)
        *out_resource = follow.last;
    else
        json_decref(follow.last);
    return rc;
}

/* ---- results -------------------------------------------------------------------------------- */

/* Where the redirect of /result leads. */
static int find_result(struct cli *cli, const struct cli_job *job, char out[MAX_URL],
                       struct err *err)
{
    char path[CLI_PATH_SIZE], url[MAX_URL], authorization[MAX_AUTHORIZATION];
    struct http_header headers[2];
    size_t count = add_authorization(headers, 0, job->view, authorization);
    cli_job_path(job, "/result", path);
    snprintf(url, sizeof url, "%s%s", job->server, path);
    struct http_response response;
    struct err plain = {0};
    http_response_init(&response, MAX_ANSWER_BYTES);
    int rc = http_client_send(
        cli->http,
        &(struct http_request){
            .method = HTTP_GET, .url = url, .headers = headers, .header_count = count},
        &response, &plain);
    if (response.status == 302 &&
        (!strncmp(response.location, "http://", 7) || !strncmp(response.location, "https://", 8)))
        rc = snprintf(out, MAX_URL, "%s", response.location) < MAX_URL ? 0 : ERR_LIMIT;
    else if (rc == 0 || response.status / 100 == 3)
        rc = err_set(err, ERR_CORRUPT, NULL, "the server sent no link to the result");
    else
        read_problem(cli, &response, rc, &plain, err);
    http_response_fini(&response);
    return rc;
}

static int write_output(const char *path, const struct buf *data, struct err *err)
{
    if (strcmp(path, "-"))
        return file_write(path, data->data, data->size, 0644, err);
    if (fwrite(data->data, 1, data->size, stdout) != data->size || fflush(stdout))
        return err_set_errno(err, NULL, "cannot write to standard output");
    return 0;
}

int cli_save_result(struct cli *cli, const struct cli_job *job, struct err *err)
{
    char url[MAX_URL];
    struct http_response response;
    int rc = find_result(cli, job, url, err);
    http_response_init(&response, CLI_MAX_RESULT_BYTES);
    /* The signed link is the right to the object; our token is none of its server's business. */
    if (rc == 0)
        rc = http_client_send(cli->http,
                              &(struct http_request){.method = HTTP_GET,
                                                     .url = url,
                                                     .total_timeout_ms = TRANSFER_TIMEOUT_MS},
                              &response, err);
    if (rc == 0)
        rc = write_output(cli->settings.output, &response.body, err);
    http_response_fini(&response);
    return rc;
}

/* ---- printing ------------------------------------------------------------------------------- */

int cli_print_json(const json_t *value, struct err *err)
{
    struct buf text;
    buf_init(&text, 2 * MAX_ANSWER_BYTES);
    int rc = json_append(&text, value, JSON_INDENT(2));
    if (rc == 0 && (puts(buf_text(&text)) < 0 || fflush(stdout)))
        rc = err_set_errno(err, NULL, "cannot write to standard output");
    buf_fini(&text);
    return rc;
}

int cli_print_job(struct cli *cli, const json_t *resource, struct err *err)
{
    struct cli_status status;
    char line[320];
    int rc = cli_read_status(resource, &status, err);
    if (rc < 0)
        return rc;
    if (!strcmp(status.state, "failed"))
        cli->exit_status = CLI_EXIT_FAILED;
    if (!strcmp(status.state, "cancelled"))
        cli->exit_status = CLI_EXIT_CANCELLED;
    if (cli->settings.json)
        return cli_print_json(resource, err);
    /* With "-o -" standard output belongs to the picture. */
    FILE *out = cli->settings.output && !strcmp(cli->settings.output, "-") ? stderr : stdout;
    cli_view_format(&status, false, line, sizeof line);
    fprintf(out, "Job:     %s\nModel:   %s\nState:   %s\n", status.id, status.model, line);
    if (status.page[0])
        fprintf(out, "Page:    %s\n", status.page);
    return 0;
}
