/* SPDX-License-Identifier: MIT
 *
 * A build without hiredis_ssl. */
#include "common/err.h"
#include "common/redis_tls.h"

bool redis_tls_built_in(void)
{
    return false;
}

int redis_tls_open(struct redis_target *target, struct err *err)
{
    return 0; /* redis_target_init() lets no target with TLS through */
}

void redis_tls_close(struct redis_target *target)
{
}

int redis_tls_start(const struct redis_target *target, struct redisContext *context,
                    struct ssl_st **out_session, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "redis", "this build has no TLS (hiredis_ssl)");
}

void redis_tls_forget(const struct ssl_st *session)
{
}

void redis_tls_guess(const struct redis_target *target, char *text, size_t size)
{
}

bool redis_tls_reason(const struct ssl_st *session, char *out, size_t size)
{
    return false;
}
