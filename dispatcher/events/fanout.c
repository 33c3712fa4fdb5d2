/* SPDX-License-Identifier: MIT */
#include "dispatcher/events/fanout.h"

#include "common/err.h"
#include "dispatcher/dispatcher.h"

#include <stdlib.h>

struct fanout {
    struct dispatcher *dispatcher; /* borrowed */
    const struct fanout_verbs *verbs;
    void *data;
    unsigned waiting; /* answers that are still to come */
    int rc;           /* the first failure */
    struct question {
        struct fanout *fanout;
        const struct queue *queue;
    } questions[];
};

static void on_reply(int rc, const struct redis_reply *reply, void *data)
{
    const struct question *question = data;
    struct fanout *fanout = question->fanout;
    if (rc == 0 && fanout->rc == 0)
        rc = fanout->verbs->read(question->queue, reply, fanout->data);
    if (fanout->rc == 0)
        fanout->rc = rc;
    if (--fanout->waiting > 0)
        return;
    fanout->dispatcher->fanouts--;
    fanout->verbs->done(fanout->rc, fanout->data);
    free(fanout);
}

int fanout_ask(struct dispatcher *dispatcher, const struct fanout_verbs *verbs, void *data)
{
    struct fanout *fanout =
        calloc(1, sizeof *fanout + dispatcher->shards * sizeof fanout->questions[0]);
    if (!fanout)
        return ERR_NOMEM;
    *fanout = (struct fanout){.dispatcher = dispatcher, .verbs = verbs, .data = data};
    for (unsigned shard = 0; shard < dispatcher->shards; shard++) {
        struct question *question = &fanout->questions[shard];
        *question = (struct question){fanout, dispatcher_queue(dispatcher, shard)};
        verbs->build(question->queue, &dispatcher->command, data);
        int rc = dispatcher_send(dispatcher, on_reply, question);
        if (rc == 0)
            fanout->waiting++;
        else if (fanout->rc == 0)
            fanout->rc = rc;
    }
    int rc = fanout->rc;
    dispatcher->fanouts += fanout->waiting > 0;
    if (fanout->waiting > 0)
        return 0; /* the answers bring the failure of one that was not sent */
    free(fanout);
    return rc;
}
