/* SPDX-License-Identifier: MIT */
#include "common/redis_tls.h"

#include "common/crypto_tls.h"
#include "common/err.h"
#include "common/redis.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <stdio.h>
#include <string.h>

bool redis_tls_built_in(void)
{
    return true;
}

int redis_tls_open(struct redis_target *target, struct err *err)
{
    target->tls = NULL;
    if (!target->secure)
        return 0;
    const struct crypto_tls_files files = {.authorities = target->files.ca_file,
                                           .certificate = target->files.cert_file,
                                           .key = target->files.key_file};
    return crypto_tls_create(&files, &target->tls, err);
}

void redis_tls_close(struct redis_target *target)
{
    crypto_tls_destroy(&target->tls);
}

/* redisInitiateSSLWithContext() would ask for a name, but take any. */
int redis_tls_start(const struct redis_target *target, struct redisContext *context,
                    struct ssl_st **out_session, struct err *err)
{
    char reason[200];
    struct ssl_st *session = crypto_tls_open(target->tls, target->node.host);
    if (!session)
        return err_set(err, ERR_NOMEM, "redis", "no memory for TLS");
    errno = 0;
    if (redisInitiateSSL(context, session) == REDIS_OK) {
        *out_session = session;
        return 0;
    }
    bool late = errno == EAGAIN || errno == EWOULDBLOCK;
    int rc = crypto_tls_mistrusts(session) ? ERR_DENIED : ERR_UNAVAILABLE;
    if (crypto_tls_reason(session, reason, sizeof reason))
        err_set(err, rc, "redis", "%s", reason);
    else
        err_set(err, rc, "redis", "%s", late ? REDIS_TLS_SILENCE : "the TLS handshake was cut off");
    crypto_tls_close(session);
    return rc;
}

void redis_tls_forget(const struct ssl_st *session)
{
    if (session)
        crypto_tls_forget();
}

void redis_tls_guess(const struct redis_target *target, char *text, size_t size)
{
    size_t length = strlen(text);
    if (target->secure && !target->files.cert_file)
        snprintf(text + length, size - length, "; does the server want a certificate of ours?");
}

bool redis_tls_reason(const struct ssl_st *session, char *out, size_t size)
{
    return session && crypto_tls_reason(session, out, size);
}
