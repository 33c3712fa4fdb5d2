/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/identity.h"

#include "common/base64.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/err.h"
#include "dispatcher/access/cors.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"

#include <string.h>

static void take_key(struct identity *identity, const struct key *key)
{
    *identity = (struct identity){.has_key = true,
                                  .scopes = key->scopes,
                                  .ceiling = key->ceiling,
                                  .weight = key->weight,
                                  .per_minute = key->per_minute,
                                  .burst = key->burst,
                                  .concurrency = key->concurrency,
                                  .max_queued = key->max_queued};
    memcpy(identity->flow, key->account, sizeof key->account);
    memcpy(identity->key_id, key->id, sizeof key->id);
}

/* What Redis knows of the key, or that it knows none. */
static void go_on(struct call *call, int rc, const struct key *key)
{
    if (rc == ERR_NOT_FOUND)
        call_refuse(call, PROBLEM_UNAUTHORIZED, "there is no such API key, or it was revoked");
    else if (rc == ERR_UNAVAILABLE)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the API key cannot be looked up");
    else if (rc < 0)
        call_refuse(call, PROBLEM_INTERNAL, NULL);
    if (rc < 0)
        return;
    take_key(&call->identity, key);
    if (cors_admit(call, key))
        call->identity_wait.then(call);
}

static void on_key(struct keyring_wait *wait, int rc, const struct key *key)
{
    struct call *call = ((struct identity_wait *)(void *)wait)->call;
    struct exchange *exchange = call->exchange;
    go_on(call, rc, key);
    exchange_go_on(exchange);
}

/* A job's token may begin like a key by chance, but is shorter. */
static const char *key_of(const struct call *call)
{
    const char *bearer = call_bearer(call);
    return bearer && strncmp(bearer, "dk_", 3) == 0 && strlen(bearer) != TOKEN_SIZE - 1 ? bearer
                                                                                        : NULL;
}

void identity_begin(struct call *call, void (*then)(struct call *call))
{
    struct identity_wait *wait = &call->identity_wait;
    const char *text = key_of(call);
    const struct key *key;
    *wait = (struct identity_wait){.keyring.done = on_key, .call = call, .then = then};
    call->identity = (struct identity){.ceiling = JOB_PRIORITY_NORMAL, .weight = 1};
    if (!text) {
        if (cors_admit(call, NULL))
            then(call);
        return;
    }
    int rc = keyring_ask(call->dispatcher->keyring, text, clock_ms(), &wait->keyring, &key);
    if (rc == KEYRING_WAITS)
        exchange_hold(call->exchange);
    else
        go_on(call, rc, key);
}

bool identity_require(struct call *call, unsigned scopes)
{
    const struct identity *identity = &call->identity;
    if (!identity->has_key)
        call_refuse(call, PROBLEM_UNAUTHORIZED, "an API key is needed");
    else if ((identity->scopes & scopes) != scopes)
        call_refuse(call, PROBLEM_FORBIDDEN, "the API key has not the scope for this");
    else
        return true;
    return false;
}

bool identity_permit(struct call *call, unsigned scopes)
{
    return !call->identity.has_key || identity_require(call, scopes);
}

const char *identity_flow(struct call *call)
{
    struct identity *identity = &call->identity;
    struct client_key key;
    unsigned char mac[CRYPTO_SHA256_SIZE];
    if (identity->flow[0])
        return identity->flow;
    call_client(call, &key);
    if (crypto_mac_sign(call->dispatcher->flow_mac, key.bytes, sizeof key.bytes, mac) < 0) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    identity->flow[0] = 'v';
    hex_encode(mac, 16, identity->flow + 1);
    return identity->flow;
}

bool identity_owns(const struct identity *identity, const char *flow, unsigned scopes)
{
    return identity->has_key && (identity->scopes & scopes) == scopes &&
           strcmp(identity->flow, flow) == 0;
}
