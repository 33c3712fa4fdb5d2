/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/stats.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/queue_finished.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"
#include "dispatcher/http/server.h"
#include "dispatcher/routes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_MS 1000
/* While Redis is asked, others get what was true so long ago at most. */
#define STALE_MS 5000
#define MAX_BYTES (256 * 1024)

struct stats {
    struct buf text; /* the last answer */
    int64_t made_ms;
    bool made, asking;
};

/* One question to all shards. */
struct count {
    struct call *call; /* borrowed; valid until the answer */
    int64_t finished, per_minute_e3;
    struct {
        int64_t finished, per_minute_e3;
    } models[]; /* as many as the dispatcher serves, in their order */
};

int stats_create(struct stats **out)
{
    struct stats *stats = calloc(1, sizeof *stats);
    if (!stats)
        return ERR_NOMEM;
    buf_init(&stats->text, MAX_BYTES);
    *out = stats;
    return 0;
}

void stats_destroy(struct stats **stats)
{
    if (*stats)
        buf_fini(&(*stats)->text);
    free(*stats);
    *stats = NULL;
}

static void send_text(struct call *call, const struct buf *text)
{
    void *copy = malloc(text->size);
    if (!copy) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    struct answer *answer = answer_take(memcpy(copy, text->data, text->size), text->size);
    answer_header(answer, "Content-Type", "application/json");
    answer_header(answer, "Cache-Control", "public, max-age=1");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    exchange_respond(call->exchange, 200, answer);
}

static int put_numbers(struct buf *out, int64_t finished, int64_t per_minute_e3)
{
    int64_t tenths = (per_minute_e3 + 50) / 100;
    return buf_printf(out,
                      "\"finished_total\":%" PRId64 ",\"finished_per_minute\":%" PRId64 ".%" PRId64,
                      finished, tenths / 10, tenths % 10);
}

/* Names of models are letters, digits, dots and dashes. */
static int write_text(const struct count *count, const struct manifest_set *models, struct buf *out)
{
    int rc = buf_append_text(out, "{");
    if (rc == 0)
        rc = put_numbers(out, count->finished, count->per_minute_e3);
    if (rc == 0)
        rc = buf_append_text(out, ",\"models\":[");
    for (size_t i = 0; rc == 0 && i < models->count; i++) {
        rc = buf_join(out, i ? "," : "", "{\"model\":\"", models->items[i].name, "\",", NULL);
        if (rc == 0)
            rc = put_numbers(out, count->models[i].finished, count->models[i].per_minute_e3);
        if (rc == 0)
            rc = buf_append_text(out, "}");
    }
    return rc == 0 ? buf_append_text(out, "]}") : rc;
}

static void build(const struct queue *queue, struct redis_command *command, void *data)
{
    (void)data;
    queue_stats_command(queue, command);
}

/* What a model did that is served no more counts among all. */
static int read_shard(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct count *count = data;
    const struct manifest_set *models = &count->call->dispatcher->models;
    struct queue_stats stats;
    for (size_t i = 0; queue_stats_at(reply, i, &stats); i++) {
        const struct manifest *model = manifest_set_find(models, stats.model);
        count->finished += stats.finished;
        count->per_minute_e3 += stats.per_minute_e3;
        if (model) {
            count->models[model - models->items].finished += stats.finished;
            count->models[model - models->items].per_minute_e3 += stats.per_minute_e3;
        }
    }
    return 0;
}

static void on_counted(int rc, void *data)
{
    struct count *count = data;
    const struct dispatcher *dispatcher = count->call->dispatcher;
    struct stats *stats = dispatcher->stats;
    stats->asking = false;
    stats->made = false;
    buf_clear(&stats->text);
    if (rc == 0)
        rc = write_text(count, &dispatcher->models, &stats->text);
    if (rc < 0) {
        call_refuse(count->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
        return;
    }
    stats->made = true;
    stats->made_ms = clock_ms();
    send_text(count->call, &stats->text);
}

void stats_get(struct dispatcher *dispatcher, struct call *call)
{
    static const struct fanout_verbs verbs = {build, read_shard, on_counted};
    struct stats *stats = dispatcher->stats;
    int64_t age_ms = clock_ms() - stats->made_ms;
    if (stats->made && age_ms < (stats->asking ? STALE_MS : FRESH_MS)) {
        send_text(call, &stats->text);
        return;
    }
    struct count *count =
        calloc(1, sizeof *count + dispatcher->models.count * sizeof count->models[0]);
    if (!count) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    count->call = call;
    call->state = count;
    call->free_state = free;
    if (fanout_ask(dispatcher, &verbs, count) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        stats->asking = true;
}
