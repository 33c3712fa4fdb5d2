/* SPDX-License-Identifier: MIT
 *
 * The home of libssl: the client's end of TLS for a library that brings its own sockets.
 *
 *     rc = crypto_tls_create(&files, &tls, &err);           // reads the files
 *     struct ssl_st *session = crypto_tls_open(tls, "redis.example");
 *     ... the library connects and owns the session ...
 *     if (crypto_tls_reason(session, text, sizeof text)) ... why that failed ...
 *     crypto_tls_destroy(&tls);
 *
 * A session accepts TLS 1.2 and later, and only a server whose certificate comes from an authority
 * that is trusted and has the name, or the IP address, that it was opened for.
 * One struct crypto_tls may serve many threads at once; a session belongs to one. It outlives its
 * struct crypto_tls. */
#ifndef DARKROOM_COMMON_CRYPTO_TLS_H
#define DARKROOM_COMMON_CRYPTO_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct crypto_tls;
struct err;
struct ssl_st; /* OpenSSL's SSL */

/* PEM, borrowed for the call. */
struct crypto_tls_files {
    const char *authorities; /* NULL: the system's */
    const char *certificate; /* our own with its chain; NULL: none */
    const char *key;         /* of that */
};

/* ERR_INVALID names the file that cannot be read or does not fit. */
int crypto_tls_create(const struct crypto_tls_files *files, struct crypto_tls **out_tls,
                      struct err *err);
void crypto_tls_destroy(struct crypto_tls **tls); /* NULL is fine */

/* NULL without memory. Owned by the caller, until a library takes it. */
struct ssl_st *crypto_tls_open(const struct crypto_tls *tls, const char *host);
void crypto_tls_close(struct ssl_st *session);

/* libssl takes an old error of the thread for one of the session: call this before a library uses
 * one. */
void crypto_tls_forget(void);

/* One line about what went wrong since then. False: nothing of TLS did. */
bool crypto_tls_reason(const struct ssl_st *session, char *out, size_t size);
/* True where what went wrong is the server's certificate. */
bool crypto_tls_mistrusts(const struct ssl_st *session);

#endif
