/* SPDX-License-Identifier: MIT
 *
 * POST /v1/addresses/erase: all that is known of an e-mail address goes: its jobs of all owners
 * with their pictures, results and records, its mails, and how many it got. Wants the scope
 * operate.
 *
 * One request erases some hundred jobs and says where to go on, so that nothing is too long for
 * anybody and whoever is interrupted begins again. Shard by shard: a page of its list, each job of
 * it as by its owner, and after the last page what is left of the list. A dry run only counts. */
#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mail_ledger.h"
#include "common/queue_list.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY_BYTES 4096
#define MAX_CURSOR 32
#define JOBS_PER_CALL 300

struct eraser {
    struct call *call; /* borrowed; valid until the answer */
    struct buf body;
    char address[ADDRESS_HASH_SIZE], unsubscribe[UNSUBSCRIBE_ID_SIZE];
    bool dry_run, forget_choice;
    unsigned shard;
    int64_t cursor, next; /* of the shard's list; -1: from its beginning, to its end */
    char entry[QUEUE_ENTRY_SIZE];
    size_t open; /* answers of Redis that are owed for this page */
    int rc;
    bool unsubscribed;
    int64_t jobs, unfinished, results, inputs, mails, unreadable;
};

static void free_eraser(void *state)
{
    struct eraser *eraser = state;
    buf_fini(&eraser->body);
    free(eraser);
}

static void ask_page(struct eraser *eraser);

static void refuse(struct eraser *eraser)
{
    call_refuse(eraser->call, PROBLEM_UNAVAILABLE, "Redis cannot be reached: ask again");
}

/* Sends what is in the dispatcher's command. */
static void send(struct eraser *eraser, redis_async_done *done)
{
    if (dispatcher_send(eraser->call->dispatcher, done, eraser) < 0)
        refuse(eraser);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void answer(struct eraser *eraser, bool more)
{
    char next[MAX_CURSOR];
    snprintf(next, sizeof next, "%u.%" PRId64, eraser->shard, eraser->cursor);
    const char *choice = !eraser->unsubscribed                       ? "none"
                         : eraser->forget_choice && !eraser->dry_run ? "forgotten"
                                                                     : "kept";
    log_event(LOG_INFO, "address.erased", "key", LOG_S, eraser->call->identity.key_id, "dry_run",
              LOG_I, (int64_t)eraser->dry_run, "jobs", LOG_I, eraser->jobs, "more", LOG_I,
              (int64_t)more, NULL);
    call_send_value(
        eraser->call, 200,
        json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:s?, s:s?}", "dry_run", eraser->dry_run,
                  "jobs", (json_int_t)eraser->jobs, "unfinished", (json_int_t)eraser->unfinished,
                  "inputs", (json_int_t)eraser->inputs, "results", (json_int_t)eraser->results,
                  "mails", (json_int_t)eraser->mails, "unreadable", (json_int_t)eraser->unreadable,
                  "unsubscribed", more ? NULL : choice, "next", more ? next : NULL));
}

static void on_forgotten(int rc, const struct redis_reply *reply, void *data)
{
    struct eraser *eraser = data;
    if (rc < 0)
        refuse(eraser);
    else
        answer(eraser, false);
}

static void on_counted(int rc, const struct redis_reply *reply, void *data)
{
    struct eraser *eraser = data;
    if (rc < 0) {
        refuse(eraser);
        return;
    }
    if (!eraser->unsubscribed || !eraser->forget_choice || eraser->dry_run) {
        answer(eraser, false);
        return;
    }
    mail_ledger_want_command(eraser->unsubscribe, true, 0, &eraser->call->dispatcher->command);
    send(eraser, on_forgotten);
}

static void on_choice(int rc, const struct redis_reply *reply, void *data)
{
    struct eraser *eraser = data;
    if (rc < 0) {
        refuse(eraser);
        return;
    }
    eraser->unsubscribed = mail_ledger_unwanted_reply(reply);
    if (eraser->dry_run) {
        answer(eraser, false);
        return;
    }
    mail_ledger_forget_command(eraser->address, &eraser->call->dispatcher->command);
    send(eraser, on_counted);
}

/* ---- the shards ------------------------------------------------------------------------------ */

static void next_shard(struct eraser *eraser)
{
    struct dispatcher *dispatcher = eraser->call->dispatcher;
    eraser->shard++;
    eraser->cursor = -1;
    if (eraser->shard < dispatcher->shards) {
        ask_page(eraser);
        return;
    }
    mail_ledger_unwanted_command(eraser->unsubscribe, &dispatcher->command);
    send(eraser, on_choice);
}

static void forget_rest(struct eraser *eraser);

static void on_rest(int rc, const struct redis_reply *reply, void *data)
{
    struct eraser *eraser = data;
    bool more = false;
    if (rc == 0)
        rc = queue_address_forget_reply(reply, eraser->entry, &more, NULL);
    if (rc < 0)
        refuse(eraser);
    else if (more)
        forget_rest(eraser);
    else
        next_shard(eraser);
}

static void forget_rest(struct eraser *eraser)
{
    struct dispatcher *dispatcher = eraser->call->dispatcher;
    queue_address_forget_command(dispatcher_queue(dispatcher, eraser->shard), eraser->address,
                                 eraser->entry, &dispatcher->command);
    send(eraser, on_rest);
}

/* A page is done: all that was to be erased is. */
static void end_page(struct eraser *eraser)
{
    if (eraser->rc < 0) {
        refuse(eraser);
    } else if (eraser->next >= 0) {
        eraser->cursor = eraser->next;
        if (eraser->jobs >= JOBS_PER_CALL)
            answer(eraser, true);
        else
            ask_page(eraser);
    } else if (eraser->dry_run) {
        next_shard(eraser);
    } else {
        snprintf(eraser->entry, sizeof eraser->entry, "-");
        forget_rest(eraser);
    }
}

static void close_one(struct eraser *eraser, int rc)
{
    if (rc < 0)
        eraser->rc = rc;
    if (--eraser->open == 0)
        end_page(eraser);
}

static void on_erased(int rc, const struct redis_reply *reply, void *data)
{
    bool found;
    close_one(data, rc == 0 ? queue_erase_reply(reply, &found, NULL) : rc);
}

static void count(struct eraser *eraser, const struct queue_job *job)
{
    enum queue_mail mail = queue_mail_of(job, NULL);
    bool final = job_state_is_final(job->state);
    eraser->jobs++;
    eraser->unfinished += !final;
    eraser->inputs += job->has_input;
    eraser->results += job->state == JOB_SUCCEEDED;
    eraser->mails += final && (mail == QUEUE_MAIL_WAITING || mail == QUEUE_MAIL_LIMITED ||
                               mail == QUEUE_MAIL_QUOTA || mail == QUEUE_MAIL_FAILED);
}

static void take(struct eraser *eraser, const struct queue *queue, const struct redis_reply *reply,
                 size_t index)
{
    struct dispatcher *dispatcher = eraser->call->dispatcher;
    struct queue_job job;
    int rc = queue_list_reply(queue, reply, index, &job, NULL);
    if (rc < 0) {
        eraser->unreadable++; /* darkroom fsck puts it aside, and says so */
        return;
    }
    count(eraser, &job);
    if (eraser->dry_run)
        return;
    queue_erase_command(queue, job.public_id, &dispatcher->command);
    rc = dispatcher_send(dispatcher, on_erased, eraser);
    if (rc < 0)
        eraser->rc = rc;
    else
        eraser->open++;
}

static void on_page(int rc, const struct redis_reply *reply, void *data)
{
    struct eraser *eraser = data;
    const struct queue *queue = dispatcher_queue(eraser->call->dispatcher, eraser->shard);
    if (rc < 0) {
        refuse(eraser);
        return;
    }
    eraser->next = queue_list_next(reply);
    eraser->open = 1; /* this loop's own */
    for (size_t i = 0; i < queue_list_count(reply); i++)
        take(eraser, queue, reply, i);
    close_one(eraser, 0);
}

static void ask_page(struct eraser *eraser)
{
    struct dispatcher *dispatcher = eraser->call->dispatcher;
    queue_by_address_command(dispatcher_queue(dispatcher, eraser->shard), eraser->address,
                             eraser->cursor, QUEUE_LIST_MAX, &dispatcher->command);
    send(eraser, on_page);
}

/* ---- the question ---------------------------------------------------------------------------- */

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct eraser *eraser = call->state;
    if (buf_append(&eraser->body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

void address_erase_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (!identity_require(call, SCOPE_OPERATE))
        return;
    struct eraser *eraser = calloc(1, sizeof *eraser);
    if (!eraser) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    eraser->call = call;
    buf_init(&eraser->body, MAX_BODY_BYTES);
    call->state = eraser;
    call->free_state = free_eraser;
    exchange_set_body(call->exchange, MAX_BODY_BYTES, on_body);
}

static int read_cursor(struct eraser *eraser, const char *text, struct err *err)
{
    unsigned shard = 0;
    int64_t place = -1;
    int used = 0;
    if (text && (strspn(text, "0123456789.") != strlen(text) ||
                 sscanf(text, "%3u.%18" SCNd64 "%n", &shard, &place, &used) != 2 || text[used] ||
                 shard >= eraser->call->dispatcher->shards))
        return err_set(err, ERR_INVALID, "cursor", "cursor is what the answer before gave as next");
    eraser->shard = shard;
    eraser->cursor = place;
    return 0;
}

static int read_question(struct eraser *eraser, const json_t *body, struct err *err)
{
    static const char *const known[] = {"email", "dry_run", "forget_choice", "cursor", NULL};
    const struct dispatcher *dispatcher = eraser->call->dispatcher;
    const char *email = NULL, *cursor = NULL;
    char address[ADDRESS_SIZE];
    int rc = json_check_members(body, NULL, known, err);
    if (rc == 0)
        rc = json_get_text(body, "email", MAX_BODY_BYTES, &email, err);
    if (rc == 0)
        rc = address_check(email, address, err);
    if (rc == 0)
        rc = json_opt_bool(body, "dry_run", &eraser->dry_run, err);
    if (rc == 0)
        rc = json_opt_bool(body, "forget_choice", &eraser->forget_choice, err);
    if (rc == 0)
        rc = json_opt_text(body, "cursor", MAX_CURSOR - 1, &cursor, err);
    if (rc == 0)
        rc = read_cursor(eraser, cursor, err);
    if (rc == 0)
        rc = address_hash(dispatcher->addresses, address, eraser->address);
    return rc == 0 ? unsubscribe_id(dispatcher->unsubscribe, eraser->address, eraser->unsubscribe)
                   : rc;
}

void address_erase(struct dispatcher *dispatcher, struct call *call)
{
    struct eraser *eraser = call->state;
    struct err err = {0};
    json_t *body = NULL;
    struct json_limits limits = {.max_bytes = MAX_BODY_BYTES, .max_depth = 2};
    int rc = json_parse(eraser->body.data, eraser->body.size, limits, &body, &err);
    if (rc < 0) {
        call_refuse(call, PROBLEM_MALFORMED, err.text);
        return;
    }
    rc = read_question(eraser, body, &err);
    json_decref(body);
    if (rc < 0)
        problem_send(
            call->exchange,
            &(struct problem){.kind = problem_of(rc), .detail = err.text, .field = err.field});
    else
        ask_page(eraser);
}
