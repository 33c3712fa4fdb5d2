/* SPDX-License-Identifier: MIT
 *
 * darkroom submit: the file and what to do with it as multipart/form-data. */
#include "common/buf.h"
#include "common/err.h"
#include "dispatcher/cli/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORM_OVERHEAD (1 << 20)

static int append_field(struct buf *body, const char *boundary, const char *name, const char *value)
{
    return buf_printf(body, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n",
                      boundary, name, value);
}

/* `key=value`; a value that reads as JSON is one, anything else is a text. */
static int add_param(json_t *params, const char *text, struct err *err)
{
    const char *equals = strchr(text, '=');
    char key[65];
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof key)
        return err_set(err, ERR_INVALID, "param",
                       "--param wants name=value; the name at most 64 bytes");
    snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (!value)
        value = json_string(equals + 1);
    if (!value)
        return err_set(err, ERR_INVALID, "param", "--param %s: the value is not UTF-8", key);
    if (json_object_get(params, key)) {
        json_decref(value);
        return err_set(err, ERR_INVALID, "param", "--param %s stands twice", key);
    }
    return json_object_set_new(params, key, value) < 0 ? ERR_NOMEM : 0;
}

/* What is handed in. */
struct work {
    const char *file;  /* borrowed; NULL for a model that takes no picture */
    const char *model; /* borrowed */
    char *own_model;   /* owned: with --from, what `model` is */
    json_t *params;    /* owned; NULL: none are named */
};

static void work_fini(struct work *work)
{
    free(work->own_model);
    json_decref(work->params);
}

static int read_work(struct cli *cli, const char *server, struct work *work, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    int rc = 0;
    if (settings->from)
        rc = cli_read_from(cli, server, settings->from, &work->own_model, &work->params, err);
    if (rc < 0)
        return rc;
    work->file = cli->word_count ? cli->words[0] : NULL;
    work->model = work->own_model ? work->own_model : settings->model;
    if (settings->params.count && !(work->params = json_object()))
        return ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < settings->params.count; i++)
        rc = add_param(work->params, settings->params.items[i], err);
    return rc;
}

static int append_params(struct buf *body, const char *boundary, const json_t *params)
{
    struct buf text;
    buf_init(&text, FORM_OVERHEAD / 2);
    int rc = json_append(&text, params, JSON_COMPACT);
    if (rc == 0)
        rc = append_field(body, boundary, "params", buf_text(&text));
    buf_fini(&text);
    return rc;
}

static int append_file(struct buf *body, const char *boundary, const char *file, struct err *err)
{
    struct buf input;
    buf_init(&input, CLI_MAX_INPUT_BYTES);
    int rc = buf_read_file(&input, file, err);
    /* The file's own name is nobody's business. */
    if (rc == 0)
        rc = buf_printf(body,
                        "--%s\r\nContent-Disposition: form-data; name=\"input\"; "
                        "filename=\"input\"\r\nContent-Type: application/octet-stream\r\n\r\n",
                        boundary);
    if (rc == 0)
        rc = buf_append(body, input.data, input.size);
    if (rc == 0)
        rc = buf_append_text(body, "\r\n");
    buf_fini(&input);
    return rc;
}

/* The small fields first: a server can refuse them before the file arrives. */
static int make_form(const struct cli_settings *settings, const struct work *work,
                     const char *boundary, struct buf *body, struct err *err)
{
    int rc = append_field(body, boundary, "model", work->model);
    if (rc == 0 && settings->email)
        rc = append_field(body, boundary, "email", settings->email);
    if (rc == 0 && settings->lang)
        rc = append_field(body, boundary, "lang", settings->lang);
    if (rc == 0 && settings->crop)
        rc = append_field(body, boundary, "crop", settings->crop);
    if (rc == 0 && work->params)
        rc = append_params(body, boundary, work->params);
    if (rc == 0 && work->file)
        rc = append_file(body, boundary, work->file, err);
    return rc < 0 ? rc : buf_printf(body, "--%s--\r\n", boundary);
}

static int read_submitted(const json_t *answer, const char *server, struct cli_job *out,
                          struct err *err)
{
    struct cli_status status;
    json_t *tokens = NULL;
    const char *view = "", *manage = "", *erase = "", *created = "";
    int rc = cli_read_status(answer, &status, err);
    if (rc == 0)
        rc = json_get_object(answer, "tokens", &tokens, err);
    if (rc == 0)
        rc = json_opt_text(answer, "created_at", sizeof out->created_at - 1, &created, err);
    if (rc == 0)
        rc = json_get_text(tokens, "tokens.view", CLI_MAX_TOKEN - 1, &view, err);
    if (rc == 0)
        rc = json_get_text(tokens, "tokens.manage", CLI_MAX_TOKEN - 1, &manage, err);
    if (rc == 0)
        rc = json_get_text(tokens, "tokens.delete", CLI_MAX_TOKEN - 1, &erase, err);
    if (rc == 0 && !id_public_valid(status.id))
        rc = err_set(err, ERR_CORRUPT, NULL, "the server sent an id that is none");
    if (rc < 0)
        return rc;
    *out = (struct cli_job){0};
    snprintf(out->id, sizeof out->id, "%.34s", status.id);
    snprintf(out->server, sizeof out->server, "%s", server);
    snprintf(out->view, sizeof out->view, "%s", view);
    snprintf(out->manage, sizeof out->manage, "%s", manage);
    snprintf(out->erase, sizeof out->erase, "%s", erase);
    snprintf(out->model, sizeof out->model, "%s", status.model);
    snprintf(out->created_at, sizeof out->created_at, "%s", created);
    return 0;
}

static int post_form(struct cli *cli, const char *server, const struct work *work,
                     json_t **out_answer, struct err *err)
{
    struct buf body;
    char boundary[ID_NAME_SIZE], content_type[128];
    id_nonce_create(boundary); /* 128 random bits: not in the file */
    snprintf(content_type, sizeof content_type, "multipart/form-data; boundary=%s", boundary);
    buf_init(&body, CLI_MAX_INPUT_BYTES + FORM_OVERHEAD);
    int rc = make_form(&cli->settings, work, boundary, &body, err);
    if (rc == ERR_LIMIT)
        err_set(err, rc, NULL, "what is to be sent is larger than %d bytes", CLI_MAX_INPUT_BYTES);
    if (rc == 0)
        rc = cli_call(cli,
                      &(struct cli_request){.server = server,
                                            .method = "POST",
                                            .path = "/v1/jobs",
                                            .token = cli_token(cli),
                                            .content_type = content_type,
                                            .idempotency_key = cli->settings.idempotency_key,
                                            .body = body.data,
                                            .body_size = body.size,
                                            .shows_upload = true},
                      out_answer, err);
    buf_fini(&body);
    cli_view_end(&cli->view);
    return rc;
}

/* The job runs in any case: without a state file the page's link is all that is left of it. */
static void remember(const struct cli_job *job)
{
    char path[CLI_STATE_PATH];
    struct err err = {0};
    int rc = cli_state_path(path, &err);
    if (rc == 0)
        rc = cli_state_add(path, job, &err);
    if (rc < 0)
        fprintf(stderr, "darkroom: the job's tokens are not kept: %s\n",
                err.text[0] ? err.text : err_name(rc));
}

/* Before a file is read. Whether the model takes one, the server says. */
static int check_usage(const struct cli *cli, struct err *err)
{
    const char *key = cli->settings.idempotency_key;
    if (cli->word_count > 1)
        return err_set(err, ERR_INVALID, NULL, "usage: darkroom submit [FILE] --model MODEL");
    if (cli->settings.from &&
        (cli->settings.model || cli->word_count || cli->settings.params.count))
        return err_set(err, ERR_INVALID, "from",
                       "--from names model and parameters: no FILE, --model or --param beside it");
    if (!cli->settings.model && !cli->settings.from)
        return err_set(err, ERR_INVALID, "model",
                       "--model is needed; `darkroom models` lists them");
    bool clean = true;
    for (const char *c = key; c && *c; c++)
        clean = clean && *c >= ' ' && *c < 0x7f;
    if (key && (!clean || !*key || strlen(key) > 255))
        return err_set(err, ERR_INVALID, "idempotency-key",
                       "--idempotency-key wants 1 to 255 printable characters");
    return 0;
}

int cli_submit(struct cli *cli, const char *unused, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    const char *server = settings->server ? settings->server : CLI_DEFAULT_SERVER;
    struct work work = {0};
    struct cli_job job;
    json_t *answer = NULL;
    int rc = check_usage(cli, err);
    if (rc < 0)
        return rc;
    rc = read_work(cli, server, &work, err);
    if (rc == 0)
        rc = post_form(cli, server, &work, &answer, err);
    if (rc == 0)
        rc = read_submitted(answer, server, &job, err);
    if (rc == 0)
        remember(&job);
    if (rc == 0 && (settings->wait || settings->output)) {
        json_t *submitted = answer;
        answer = NULL;
        rc = cli_follow(cli, &job, &answer, err);
        json_decref(submitted);
    }
    if (rc == 0)
        rc = cli_print_job(cli, answer, err);
    if (rc == 0 && settings->output && cli->exit_status == 0)
        rc = cli_save_result(cli, &job, err);
    if (rc == 0 && settings->from && settings->output && strcmp(settings->output, "-"))
        cli_compare(settings->from, settings->output);
    work_fini(&work);
    json_decref(answer);
    return rc;
}
