/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/job_hook.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/webhook_endpoint.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"

#include <stdio.h>
#include <string.h>

#define FIELD "webhook"

int job_hook_check(const struct dispatcher *dispatcher, const struct identity *identity,
                   const char *webhook, struct err *err)
{
    if (endpoint_id_valid(webhook))
        return identity->has_key
                   ? 0
                   : err_set(err, ERR_DENIED, FIELD, "an endpoint wants the key of its account");
    if (!identity->has_key && !dispatcher->settings->webhook_visitors)
        return err_set(err, ERR_DENIED, FIELD, "a webhook wants an API key");
    return webhook_url_check(webhook, &dispatcher->webhook_allow, err);
}

int job_hook_find(struct call *call, const char *id,
                  void (*done)(int rc, const struct redis_reply *reply, void *data), void *data)
{
    endpoint_get_command(id, &call->dispatcher->command);
    return dispatcher_send(call->dispatcher, done, data);
}

int job_hook_found(const struct call *call, const struct redis_reply *reply, const char *id,
                   struct err *err)
{
    struct endpoint endpoint;
    int rc = endpoint_get_reply(reply, id, &endpoint, NULL);
    if (rc == ERR_NOT_FOUND || (rc == 0 && strcmp(endpoint.account, call->identity.flow) != 0))
        return err_set(err, ERR_INVALID, FIELD, "the account has no such endpoint");
    return rc;
}

int job_hook_line(const struct dispatcher *dispatcher, const char *flow, const char *public_id,
                  const char *webhook, struct buf *extra)
{
    char sealed[WEBHOOK_SEALED_SIZE], target[WEBHOOK_TARGET_SIZE];
    if (endpoint_id_valid(webhook))
        return buf_printf(extra, "w=%s\n", webhook);
    int rc = webhook_target(dispatcher->webhooks, flow, webhook, target);
    if (rc == 0)
        rc = webhook_seal(dispatcher->webhooks, webhook, public_id, sealed);
    return rc == 0 ? buf_printf(extra, "w=%s %s\n", target, sealed) : rc;
}

bool job_hook_secret(const struct dispatcher *dispatcher, const struct queue_job *job,
                     char out[WEBHOOK_SECRET_SIZE])
{
    char line[WEBHOOK_TARGET_SIZE + WEBHOOK_SEALED_SIZE];
    return queue_extra_get(job, 'w', line, sizeof line) && line[0] == 'u' &&
           webhook_job_secret(dispatcher->webhooks, job->public_id, out) == 0;
}
