/* SPDX-License-Identifier: MIT */
#include "common/crypto_tls.h"

#include "common/err.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct crypto_tls {
    SSL_CTX *context;
};

static const char *last_error(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "it cannot be used";
}

static int bad_file(const char *path, struct err *err)
{
    return err_set(err, ERR_INVALID, NULL, "%s: %s", path, last_error());
}

static int read_files(SSL_CTX *context, const struct crypto_tls_files *files, struct err *err)
{
    if (!files->authorities) {
        if (SSL_CTX_set_default_verify_paths(context) != 1)
            return err_set(err, ERR_INVALID, NULL, "the system's authorities: %s", last_error());
    } else if (SSL_CTX_load_verify_locations(context, files->authorities, NULL) != 1) {
        return bad_file(files->authorities, err);
    }
    if (!files->certificate)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1)
        return bad_file(files->certificate, err);
    /* Which also compares it with the certificate. */
    if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1)
        return bad_file(files->key, err);
    return 0;
}

int crypto_tls_create(const struct crypto_tls_files *files, struct crypto_tls **out_tls,
                      struct err *err)
{
    struct crypto_tls *tls = calloc(1, sizeof *tls);
    if (tls)
        tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls || !tls->context) {
        free(tls);
        return err_set(err, ERR_NOMEM, NULL, "no memory for TLS");
    }
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    int rc = read_files(tls->context, files, err);
    ERR_clear_error();
    if (rc < 0)
        crypto_tls_destroy(&tls);
    else
        *out_tls = tls;
    return rc;
}

void crypto_tls_destroy(struct crypto_tls **tls)
{
    if (!*tls)
        return;
    SSL_CTX_free((*tls)->context);
    free(*tls);
    *tls = NULL;
}

/* Asks for the name, and insists on it. Addresses are never asked for by name (RFC 6066). */
static bool expect(SSL *session, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1)
        return true;
    SSL_set_hostflags(session, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1;
}

struct ssl_st *crypto_tls_open(const struct crypto_tls *tls, const char *host)
{
    SSL *session = SSL_new(tls->context);
    if (session && !expect(session, host)) {
        SSL_free(session);
        session = NULL;
    }
    ERR_clear_error();
    return session;
}

void crypto_tls_close(struct ssl_st *session)
{
    SSL_free(session);
}

void crypto_tls_forget(void)
{
    ERR_clear_error();
}

bool crypto_tls_mistrusts(const struct ssl_st *session)
{
    return SSL_get_verify_result(session) != X509_V_OK;
}

bool crypto_tls_reason(const struct ssl_st *session, char *out, size_t size)
{
    long verdict = SSL_get_verify_result(session);
    if (verdict != X509_V_OK) {
        snprintf(out, size, "the server's certificate is refused: %s",
                 X509_verify_cert_error_string(verdict));
        return true;
    }
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    if (text)
        snprintf(out, size, "TLS: %s", text);
    return text != NULL;
}
