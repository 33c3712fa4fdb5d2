/* SPDX-License-Identifier: MIT */
#include "dispatcher/compat/selfie2anime.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/queue.h"
#include "common/sigv4.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/dialect.h"
#include "dispatcher/jobs/tally.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_FRESH_MS 1000
#define LINK_SIZE 700
#define FILE_SIZE (ID_PUBLIC_SIZE + TOKEN_SIZE + 4) /* with ".jpg" */

struct selfie2anime {
    const struct manifest *model; /* borrowed */
    int64_t count, counted_ms;    /* as last asked */
};

int selfie2anime_open(const char *option, const struct manifest_set *models,
                      struct selfie2anime **out, struct err *err)
{
    static const char prefix[] = "selfie2anime=";
    if (!option)
        return 0;
    if (strncmp(option, prefix, sizeof prefix - 1) != 0)
        return err_set(err, ERR_INVALID, "compat", "compat must be selfie2anime=MODEL");
    const struct manifest *model = manifest_set_find(models, option + sizeof prefix - 1);
    if (!model || !model->has_input)
        return err_set(err, ERR_INVALID, "compat",
                       "compat must name a model that is served and takes a picture");
    struct selfie2anime *selfie2anime = calloc(1, sizeof *selfie2anime);
    if (!selfie2anime)
        return err_set(err, ERR_NOMEM, NULL, "no memory for foreign routes");
    selfie2anime->model = model;
    selfie2anime->counted_ms = -COUNT_FRESH_MS;
    *out = selfie2anime;
    return 0;
}

void selfie2anime_close(struct selfie2anime **selfie2anime)
{
    free(*selfie2anime);
    *selfie2anime = NULL;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void file_of(const struct dispatcher *dispatcher, const char *public_id, char out[FILE_SIZE])
{
    char token[TOKEN_SIZE];
    out[0] = 0;
    if (token_make(dispatcher->tokens, TOKEN_SHARE, public_id, token) == 0)
        snprintf(out, FILE_SIZE, "%s%s", public_id, token);
}

/* The job that a file's id names, with or without its ending. What is no id, and one whose token is
 * not right, are as unknown as any other. */
static bool job_of(const struct dispatcher *dispatcher, char *file, char out[ID_PUBLIC_SIZE])
{
    size_t size = strlen(file);
    if (size > 4 && strcmp(file + size - 4, ".jpg") == 0)
        file[size - 4] = 0;
    snprintf(out, ID_PUBLIC_SIZE, "%.*s", ID_PUBLIC_SIZE - 1, file);
    return id_public_valid(out) && id_public_shard(out) < dispatcher->shards &&
           token_allows(dispatcher->tokens, TOKEN_SHARE, out, file + strlen(out));
}

static bool read_argument(struct call *call, const char *name, char *out, size_t size)
{
    int rc = exchange_query(call->exchange, name, out, size);
    if (rc == ERR_NOT_FOUND || (rc == 0 && !*out))
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_MALFORMED,
                                                       .detail = "an argument is missing",
                                                       .field = name});
    else if (rc < 0)
        call_refuse(call, PROBLEM_NOT_FOUND, "there is no such picture");
    return rc == 0 && *out;
}

/* False: there is no such file, and it was answered. */
static bool ask_job(struct call *call, char out[ID_PUBLIC_SIZE])
{
    char file[FILE_SIZE];
    if (!read_argument(call, "uuid", file, sizeof file))
        return false;
    if (job_of(call->dispatcher, file, out))
        return true;
    call_refuse(call, PROBLEM_NOT_FOUND, "there is no such picture");
    return false;
}

/* Sends the command in dispatcher->command. */
static void ask(struct call *call, redis_async_done *done)
{
    if (dispatcher_send(call->dispatcher, done, call) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

/* ---- POST /analysis/selfie ------------------------------------------------------------------- */

static int rename_member(json_t *object, const char *from, const char *to)
{
    json_t *value = json_object_get(object, from);
    return !value || (json_object_set(object, to, value) == 0 && json_object_del(object, from) == 0)
               ? 0
               : ERR_NOMEM;
}

/* {"email", "crop", "photo"} and nothing else, all of them required, as the original's code does.
 */
static int translate(const void *context, json_t *body, struct err *err)
{
    static const char *const known[] = {"email", "crop", "photo", NULL};
    const struct selfie2anime *selfie2anime = context;
    const char *text;
    json_t *crop;
    int rc = json_check_members(body, NULL, known, err);
    if (rc == 0)
        rc = json_get_text(body, "email", 1024, &text, err);
    if (rc == 0)
        rc = json_get_text(body, "photo", SIZE_MAX, &text, err);
    if (rc == 0)
        rc = json_get_object(body, "crop", &crop, err);
    if (rc == 0 && !*json_string_value(json_object_get(body, "email")))
        rc = err_set(err, ERR_INVALID, "email", "email is required");
    if (rc == 0)
        rc = rename_member(body, "photo", "input");
    if (rc == 0 && json_object_set_new(body, "model", json_string(selfie2anime->model->name)) < 0)
        rc = ERR_NOMEM;
    return rc;
}

static const char *field_of(const char *field)
{
    return strcmp(field, "input") == 0 ? "photo" : field;
}

/* 200 without a body, which is all that the original's client looks at. The rest is for others. */
static int accepted(struct call *call, const struct queue_job *job)
{
    char file[FILE_SIZE], location[LINK_SIZE];
    file_of(call->dispatcher, job->public_id, file);
    snprintf(location, sizeof location, "%s/analysis/me?uuid=%s", call->dispatcher->public_url,
             file);
    struct answer *answer = answer_static("", 0);
    answer_header(answer, "Location", location);
    answer_header(answer, "Access-Control-Expose-Headers", "Location, Retry-After");
    answer_header(answer, "Cache-Control", "no-store");
    exchange_respond(call->exchange, 200, answer);
    return 0;
}

static void selfie_headers(struct dispatcher *dispatcher, struct call *call)
{
    /* The cropper rounds place and size each for itself. */
    static const struct dialect dialect = {translate, field_of, 2, accepted};
    call->dialect = &dialect;
    call->dialect_context = dispatcher->selfie2anime;
    submit_headers(dispatcher, call);
}

static void preflight(struct dispatcher *dispatcher, struct call *call)
{
    struct answer *answer = answer_static("", 0);
    (void)dispatcher;
    answer_header(answer, "Access-Control-Allow-Methods", "GET, HEAD, POST");
    answer_header(answer, "Access-Control-Allow-Headers", "Content-Type, Idempotency-Key");
    answer_header(answer, "Access-Control-Max-Age", "600");
    exchange_respond(call->exchange, 204, answer);
}

/* ---- GET /analysis/count --------------------------------------------------------------------- */

static void send_count(struct call *call)
{
    call_send_value(call, 200,
                    json_pack("{s:I}", "count", (json_int_t)call->dispatcher->selfie2anime->count));
}

static void on_counted(int rc, const struct queue_counters *counters, void *data)
{
    struct call *call = data;
    struct selfie2anime *selfie2anime = call->dispatcher->selfie2anime;
    if (rc < 0) {
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
        return;
    }
    selfie2anime->count = counters->submitted;
    selfie2anime->counted_ms = clock_ms();
    send_count(call);
}

static void count(struct dispatcher *dispatcher, struct call *call)
{
    const struct selfie2anime *selfie2anime = dispatcher->selfie2anime;
    if (clock_ms() - selfie2anime->counted_ms < COUNT_FRESH_MS)
        send_count(call);
    else if (tally_ask(dispatcher, (const char *const[]){selfie2anime->model->name}, 1, on_counted,
                       call) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

/* ---- GET /analysis/me ------------------------------------------------------------------------ */

static json_t *describe(const struct call *call, const struct queue_job *job)
{
    const char *site = call->dispatcher->public_url;
    bool done = job->state == JOB_SUCCEEDED, over = job_state_is_final(job->state);
    char file[FILE_SIZE], link[LINK_SIZE], picture[LINK_SIZE];
    struct buf escaped; /* for the query of another link */
    file_of(call->dispatcher, job->public_id, file);
    snprintf(link, sizeof link, "%s/analysis/me?uuid=%s", site, file);
    snprintf(picture, sizeof picture, "%s/outgoing/%s.jpg", site, file);
    buf_init(&escaped, 3 * LINK_SIZE);
    sigv4_encode(link, false, &escaped);
    json_t *data =
        json_pack("{s:b, s:b, s:b, s:s, s:s, s:s, s:s}", "done", done, "waiting", !over, "failed",
                  over && !done, "link", link, "link_escaped", buf_text(&escaped), "picture",
                  picture, "local", picture + strlen(site));
    buf_fini(&escaped);
    return data;
}

static void on_viewed(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    struct queue_job job;
    if (rc == 0)
        rc = queue_get_reply(reply, &job, NULL);
    if (rc == ERR_NOT_FOUND)
        call_refuse(call, PROBLEM_NOT_FOUND, "there is no such picture, or it has expired");
    else if (rc < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        page_send(call, 200, "compat_viewer.html", describe(call, &job));
}

static void view(struct dispatcher *dispatcher, struct call *call)
{
    char public_id[ID_PUBLIC_SIZE];
    if (!ask_job(call, public_id))
        return;
    queue_get_command(dispatcher_queue_of_id(dispatcher, public_id), public_id,
                      &dispatcher->command);
    ask(call, on_viewed);
}

/* ---- GET /outgoing/<file>.jpg ---------------------------------------------------------------- */

/* The result as a JPEG: where our own route makes one. */
static void picture(struct dispatcher *dispatcher, struct call *call)
{
    char file[FILE_SIZE], public_id[ID_PUBLIC_SIZE], location[LINK_SIZE];
    if (!router_capture(&call->match, 0, file, sizeof file) ||
        !job_of(dispatcher, file, public_id)) {
        call_refuse(call, PROBLEM_NOT_FOUND, "there is no such picture");
        return;
    }
    snprintf(location, sizeof location, "%s/v1/jobs/%s/result?format=jpeg&token=%s",
             dispatcher->public_url, public_id, file + ID_PUBLIC_SIZE - 1);
    struct answer *answer = answer_static("", 0);
    answer_header(answer, "Location", location);
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "Referrer-Policy", "no-referrer");
    exchange_respond(call->exchange, 302, answer);
}

/* ---- GET /analysis/delete -------------------------------------------------------------------- */

/* A link that deletes must not do so for whoever only looks ahead. */
static bool only_looks(const struct exchange *exchange)
{
    const char *purpose = exchange_header(exchange, "Sec-Purpose");
    if (!purpose)
        purpose = exchange_header(exchange, "Purpose");
    return exchange_method(exchange) == METHOD_HEAD || (purpose && strstr(purpose, "prefetch"));
}

static void on_erased(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    bool found = false;
    if (rc == 0)
        rc = queue_erase_reply(reply, &found, NULL);
    if (rc < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else if (!found)
        call_refuse(call, PROBLEM_NOT_FOUND, "there is no such picture, or it was deleted before");
    else
        page_send(call, 200, "compat_deleted.html", NULL);
}

static void erase(struct dispatcher *dispatcher, struct call *call)
{
    char public_id[ID_PUBLIC_SIZE], key[CALL_TOKEN_SIZE];
    if (!ask_job(call, public_id) || !read_argument(call, "key", key, sizeof key))
        return;
    if (!token_allows(dispatcher->tokens, TOKEN_DELETE, public_id, key)) {
        call_refuse(call, PROBLEM_FORBIDDEN, "this key does not delete this picture");
        return;
    }
    if (only_looks(call->exchange)) {
        call_refuse(call, PROBLEM_CONFLICT, "this would delete the picture");
        return;
    }
    queue_erase_command(dispatcher_queue_of_id(dispatcher, public_id), public_id,
                        &dispatcher->command);
    ask(call, on_erased);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define GET (1u << METHOD_GET)

const struct route selfie2anime_routes[] = {
    {1u << METHOD_POST, "/analysis/selfie", "compat_submit", selfie_headers, submit, .open = true},
    {GET, "/analysis/count", "compat_count", NULL, count, .open = true},
    {GET, "/analysis/me", "compat_view", NULL, view, .open = true},
    {GET, "/analysis/delete", "compat_delete", NULL, erase, .open = true},
    {GET, "/outgoing/{}", "compat_result", NULL, picture, .open = true},
    {1u << METHOD_OPTIONS, "/analysis/{*}", "preflight", NULL, preflight, .open = true},
};
const size_t selfie2anime_route_count = sizeof selfie2anime_routes / sizeof selfie2anime_routes[0];
