/* SPDX-License-Identifier: MIT */
#include "dispatcher/identity.h"

#include "common/base64.h"
#include "common/crypto.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http_server.h"

#include <string.h>

void identity_begin(struct call *call)
{
    call->identity = (struct identity){.ceiling = JOB_PRIORITY_NORMAL, .weight = 1};
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
