/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/signal.h"

#include "common/buf.h"
#include "common/err.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"
#include "dispatcher/jobs/tally.h"
#include "dispatcher/operate/samples.h"
#include "dispatcher/operate/scale.h"

#include <inttypes.h>
#include <stdlib.h>

struct question {
    struct dispatcher *dispatcher; /* borrowed */
    signal_done *done;
    void *data;
    struct queue_counters *counters; /* owned */
    const char **names;              /* owned; the names are borrowed */
    unsigned open;                   /* questions whose answer is owed, and one for who asks them */
    int rc;                          /* the first failure */
    struct queue_busy all;
    struct queue_busy busy[]; /* of each model */
};

static void free_question(struct question *question)
{
    free(question->names);
    free(question->counters);
    free(question);
}

/* Nobody knows how many: then as many as there are jobs, which is never too few. A worker that has
 * jobs of two shards counted twice. */
static void bound(struct queue_busy *busy, int64_t workers, int64_t running)
{
    int64_t most = workers < running ? workers : running;
    if (busy->busy < 0 || busy->busy > most)
        busy->busy = most;
}

static void finish(struct question *question)
{
    int64_t running = 0;
    for (size_t i = 0; question->rc == 0 && i < question->dispatcher->models.count; i++) {
        const struct queue_counters *counters = &question->counters[i];
        running += counters->running;
        question->busy[i].alive = counters->workers;
    }
    /* One that serves several models is busy with any of them. */
    for (size_t i = 0; question->rc == 0 && i < question->dispatcher->models.count; i++)
        bound(&question->busy[i], question->counters[i].workers, running);
    bound(&question->all, question->all.alive, running);
    const struct signal_found found = {question->counters, question->busy, question->all};
    question->done(question->rc, question->rc == 0 ? &found : NULL, question->data);
    free_question(question);
}

static void close_one(struct question *question, int rc)
{
    if (question->rc == 0)
        question->rc = rc;
    if (--question->open == 0)
        finish(question);
}

static void on_tally(int rc, const struct queue_counters *counters, void *data)
{
    struct question *question = data;
    for (size_t i = 0; rc == 0 && i < question->dispatcher->models.count; i++)
        question->counters[i] = counters[i];
    close_one(question, rc);
}

/* ---- who is busy ----------------------------------------------------------------------------- */

static void build(const struct queue *queue, struct redis_command *command, void *data)
{
    const struct question *question = data;
    queue_busy_command(queue, question->names, question->dispatcher->models.count, command);
}

static void add(struct queue_busy *sum, const struct queue_busy *shard)
{
    if (shard->alive > sum->alive) /* every worker serves every shard */
        sum->alive = shard->alive;
    sum->busy = sum->busy < 0 || shard->busy < 0 ? -1 : sum->busy + shard->busy;
}

static int read_shard(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct question *question = data;
    struct queue_busy busy;
    int rc = queue_busy_reply(reply, QUEUE_BUSY_ALL, &busy, NULL);
    if (rc == 0)
        add(&question->all, &busy);
    for (size_t i = 0; rc == 0 && i < question->dispatcher->models.count; i++) {
        rc = queue_busy_reply(reply, (int)i, &busy, NULL);
        if (rc == 0)
            add(&question->busy[i], &busy);
    }
    return rc;
}

static void on_busy(int rc, void *data)
{
    close_one(data, rc);
}

int signal_ask(struct dispatcher *dispatcher, signal_done *done, void *data)
{
    static const struct fanout_verbs verbs = {build, read_shard, on_busy};
    size_t count = dispatcher->models.count;
    struct question *question = calloc(1, sizeof *question + count * sizeof question->busy[0]);
    if (!question)
        return ERR_NOMEM;
    question->dispatcher = dispatcher;
    question->done = done;
    question->data = data;
    question->open = 1;
    question->counters = calloc(count + 1, sizeof *question->counters);
    question->names = calloc(count + 1, sizeof *question->names);
    int rc = question->counters && question->names ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++)
        question->names[i] = dispatcher->models.items[i].name;
    if (rc == 0)
        rc = tally_ask(dispatcher, question->names, count, on_tally, question);
    if (rc < 0) {
        free_question(question);
        return rc;
    }
    question->open++;
    rc = fanout_ask(dispatcher, &verbs, question);
    question->open += rc == 0;
    close_one(question, rc);
    return 0;
}

/* ---- what follows ---------------------------------------------------------------------------- */

void signal_load(const struct dispatcher *dispatcher, const struct signal_found *found,
                 size_t model, struct scale_load *out)
{
    const struct queue_counters *counters = &found->counters[model];
    struct samples_evidence seen;
    samples_evidence(dispatcher->samples, model, &seen);
    const struct scale_evidence evidence = {.finished = seen.finished,
                                            .worker_ms = seen.worker_ms,
                                            .service_ms = counters->service_ms,
                                            .cost_ms = dispatcher->models.items[model].cost_ms,
                                            .workers = counters->workers,
                                            .slots = counters->slots};
    *out = (struct scale_load){.queued = counters->queued,
                               .running = counters->running,
                               .oldest_ms = counters->oldest_ms,
                               .workers = counters->workers,
                               .busy = found->busy[model].busy,
                               .arrivals = seen.arrivals,
                               .rate = scale_rate(&evidence),
                               .paused = counters->paused > 0};
}

static int64_t wanted(const struct scale_load *load, const struct scale_signal *signal)
{
    (void)load;
    return signal->wanted;
}

static int64_t busy(const struct scale_load *load, const struct scale_signal *signal)
{
    (void)signal;
    return load->busy;
}

static int64_t drain_s(const struct scale_load *load, const struct scale_signal *signal)
{
    (void)load;
    return signal->drain_ms < 0 ? -1 : (signal->drain_ms + 999) / 1000;
}

int signal_write_metrics(const struct dispatcher *dispatcher, const struct signal_found *found,
                         struct buf *out)
{
    static const struct {
        const char *name, *help;
        int64_t (*value)(const struct scale_load *load, const struct scale_signal *signal);
    } gauges[] = {
        {"darkroom_scale_wanted_workers", "Workers that a model should have.", wanted},
        {"darkroom_scale_busy_workers", "Workers with a job in hand.", busy},
        {"darkroom_scale_drain_seconds",
         "Until all that waits would have begun; -1 where no worker is alive.", drain_s},
    };
    int rc = 0;
    for (size_t g = 0; rc == 0 && g < sizeof gauges / sizeof gauges[0]; g++) {
        rc = buf_join(out, "# HELP ", gauges[g].name, " ", gauges[g].help, "\n# TYPE ",
                      gauges[g].name, " gauge\n", NULL);
        for (size_t i = 0; rc == 0 && i < dispatcher->models.count; i++) {
            struct scale_load load;
            struct scale_signal signal;
            signal_load(dispatcher, found, i, &load);
            scale_judge(&load, &SCALE_USUAL, &signal);
            rc = buf_printf(out, "%s{model=\"%s\"} %" PRId64 "\n", gauges[g].name,
                            dispatcher->models.items[i].name, gauges[g].value(&load, &signal));
        }
    }
    return rc;
}
