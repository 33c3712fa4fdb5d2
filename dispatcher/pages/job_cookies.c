/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/job_cookies.h"

#include "common/err.h"
#include "common/id.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/cookie.h"
#include "dispatcher/http/server.h"
#include "dispatcher/pages/pages.h"

#include <assert.h>
#include <stdio.h>

/* Only the two that a link does not have. */
static const char *name_of(enum token_right right)
{
    return right == TOKEN_DELETE ? "delete" : "manage";
}

static void put(const struct dispatcher *dispatcher, const char *public_id, enum token_right right,
                const char *value, int64_t max_age_s, struct answer *answer)
{
    char path[ID_PUBLIC_SIZE + 4], line[COOKIE_LINE_MAX];
    snprintf(path, sizeof path, "/j/%s", public_id);
    struct cookie cookie = {.name = name_of(right),
                            .value = value,
                            .path = path,
                            .max_age_s = max_age_s,
                            .hidden = true,
                            .strict = true,
                            .secure = dispatcher->pages->secure};
    if (cookie_write(&cookie, line, sizeof line))
        answer_header(answer, "Set-Cookie", line);
}

int job_cookies_put(const struct dispatcher *dispatcher, const char *public_id,
                    struct answer *answer)
{
    static const enum token_right rights[] = {TOKEN_MANAGE, TOKEN_DELETE};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof rights / sizeof rights[0]; i++) {
        char token[TOKEN_SIZE];
        rc = token_make(dispatcher->tokens, rights[i], public_id, token);
        if (rc == 0)
            put(dispatcher, public_id, rights[i], token, dispatcher->settings->retain_ms / 1000,
                answer);
    }
    return rc;
}

bool job_cookies_allow(const struct call *call, enum token_right right, const char *public_id)
{
    assert(right == TOKEN_MANAGE || right == TOKEN_DELETE);
    char token[CALL_TOKEN_SIZE];
    return cookie_find(exchange_header(call->exchange, "Cookie"), name_of(right), token,
                       sizeof token) &&
           token_allows(call->dispatcher->tokens, right, public_id, token);
}

void job_cookies_drop(const struct dispatcher *dispatcher, const char *public_id,
                      struct answer *answer)
{
    put(dispatcher, public_id, TOKEN_MANAGE, "", 0, answer);
    put(dispatcher, public_id, TOKEN_DELETE, "", 0, answer);
}
