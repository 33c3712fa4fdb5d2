/* SPDX-License-Identifier: MIT
 *
 * Where Redis is: the texts that operators write. */
#include "common/redis.h"

#include "common/err.h"
#include "common/redis_tls.h"
#include "common/redis_wire.h"
#include "common/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_PORT 6379
#define SENTINEL_PORT 26379

static int parse_number(const char *text, long max, int *out)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > max || text[0] == '+' || text[0] == ' ')
        return ERR_INVALID;
    *out = (int)value;
    return 0;
}

static int parse_unix(struct redis_target *target, const char *rest, struct err *err)
{
    size_t length = strcspn(rest, "?");
    if (rest[0] != '/' || length >= sizeof target->path)
        return err_set(err, ERR_INVALID, "redis",
                       "unix: needs an absolute path of at most %zu bytes",
                       sizeof target->path - 1);
    memcpy(target->path, rest, length);
    if (!rest[length])
        return 0;
    if (strncmp(rest + length, "?db=", 4) ||
        parse_number(rest + length + 4, 1 << 20, &target->database) < 0)
        return err_set(err, ERR_INVALID, "redis", "after the socket's path only ?db=N may follow");
    return 0;
}

/* Splits host, [v6 host] and port. */
static int parse_host(const char *text, size_t length, struct redis_address *out, struct err *err)
{
    const char *host = text, *end = text + length;
    const char *host_end = memchr(text, ':', length);
    if (length && text[0] == '[') {
        host = text + 1;
        host_end = memchr(text, ']', length);
        if (!host_end || (host_end + 1 < end && host_end[1] != ':'))
            return err_set(err, ERR_INVALID, "redis", "the address in [ ] is malformed");
    }
    const char *port = host_end ? memchr(host_end, ':', (size_t)(end - host_end)) : NULL;
    if (!host_end)
        host_end = end;
    size_t host_length = (size_t)(host_end - host);
    if (host_length == 0 || host_length >= sizeof out->host)
        return err_set(err, ERR_INVALID, "redis", "the host is empty or too long");
    memcpy(out->host, host, host_length);
    if (!port)
        return 0;
    char digits[8] = {0};
    size_t port_length = (size_t)(end - port - 1);
    if (port_length < sizeof digits)
        memcpy(digits, port + 1, port_length);
    if (parse_number(digits, 65535, &out->port) < 0 || out->port == 0)
        return err_set(err, ERR_INVALID, "redis", "the port must be 1 to 65535");
    return 0;
}

/* Moves *rest behind `user@`, if there is one. */
static int parse_user(struct redis_target *target, const char **rest, struct err *err)
{
    const char *at = strrchr(*rest, '@');
    if (!at)
        return 0;
    size_t length = (size_t)(at - *rest);
    if (memchr(*rest, ':', length))
        return err_set(err, ERR_INVALID, "redis",
                       "no password in the URL, where the process list shows it: put it into a "
                       "file and name that with --redis-password-file");
    if (length == 0 || length >= sizeof target->user)
        return err_set(err, ERR_INVALID, "redis", "the user has 1 to %zu bytes",
                       sizeof target->user - 1);
    memcpy(target->user, *rest, length);
    *rest = at + 1;
    return 0;
}

static int parse_database(struct redis_target *target, const char *text, struct err *err)
{
    if (*text && parse_number(text, 1 << 20, &target->database) < 0)
        return err_set(err, ERR_INVALID, "redis", "the database after the last / is a number");
    return 0;
}

static int parse_tcp(struct redis_target *target, const char *rest, struct err *err)
{
    target->node.port = REDIS_PORT;
    size_t length = strcspn(rest, "/");
    int rc = rest[length] ? parse_database(target, rest + length + 1, err) : 0;
    return rc == 0 ? parse_host(rest, length, &target->node, err) : rc;
}

/* Hosts between commas; moves *rest behind them. */
static int parse_seeds(struct redis_target *target, const char **rest, int port, struct err *err)
{
    const char *at = *rest;
    for (;;) {
        size_t length = strcspn(at, ",/");
        if (target->seed_count == REDIS_SEEDS_MAX)
            return err_set(err, ERR_INVALID, "redis", "at most %d hosts", REDIS_SEEDS_MAX);
        struct redis_address *seed = &target->seeds[target->seed_count++];
        seed->port = port;
        int rc = parse_host(at, length, seed, err);
        at += length;
        if (rc < 0 || *at != ',') {
            *rest = at;
            return rc;
        }
        at++;
    }
}

static int parse_cluster(struct redis_target *target, const char *rest, struct err *err)
{
    target->kind = REDIS_CLUSTER;
    int rc = parse_seeds(target, &rest, REDIS_PORT, err);
    if (rc == 0 && rest[0] && strcmp(rest, "/") != 0)
        rc = err_set(err, ERR_INVALID, "redis", "a cluster has one database only: nothing after /");
    return rc;
}

static int parse_sentinel(struct redis_target *target, const char *rest, struct err *err)
{
    target->kind = REDIS_SENTINEL;
    int rc = parse_seeds(target, &rest, SENTINEL_PORT, err);
    if (rc < 0)
        return rc;
    const char *name = *rest ? rest + 1 : rest;
    size_t length = strcspn(name, "/");
    if (length == 0 || length >= sizeof target->master)
        return err_set(err, ERR_INVALID, "redis",
                       "the sentinels are followed by / and the master's name");
    memcpy(target->master, name, length);
    return name[length] ? parse_database(target, name + length + 1, err) : 0;
}

/* The forms with hosts, behind `redis` or `rediss`. */
static const struct {
    const char *scheme;
    int (*parse)(struct redis_target *target, const char *rest, struct err *err);
} schemes[] = {
    {"://", parse_tcp},
    {"+cluster://", parse_cluster},
    {"+sentinel://", parse_sentinel},
};

static int parse_hosts(struct redis_target *target, const char *url, struct err *err)
{
    static const char word[] = "redis";
    bool known = strncmp(url, word, sizeof word - 1) == 0;
    url += known ? sizeof word - 1 : 0;
    target->secure = known && *url == 's';
    url += target->secure;
    if (target->secure && !redis_tls_built_in())
        return err_set(err, ERR_INVALID, "redis",
                       "TLS is not built in, which takes hiredis 1.0 or later with hiredis_ssl: "
                       "lead redis:// through a tunnel such as stunnel");
    for (size_t i = 0; known && i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i].scheme);
        if (strncmp(url, schemes[i].scheme, length) != 0)
            continue;
        const char *rest = url + length;
        int rc = parse_user(target, &rest, err);
        return rc == 0 ? schemes[i].parse(target, rest, err) : rc;
    }
    return err_set(err, ERR_INVALID, "redis",
                   "must be unix:/path[?db=N], redis://[user@]host[:port][/db], "
                   "redis+cluster://host,… or redis+sentinel://host,…/master; rediss for TLS");
}

static int read_password(struct redis_target *target, const char *file, struct err *err)
{
    struct buf buf;
    buf_init(&buf, 4096);
    int rc = err_blame(secret_read_file(file, &buf, err), "redis-password-file", err);
    if (rc == 0) {
        size_t length = strcspn(buf_text(&buf), "\r\n");
        if (length == 0 || length >= sizeof target->password)
            rc = err_set(err, ERR_CORRUPT, "redis-password-file",
                         "%s: the first line must have 1 to %zu bytes", file,
                         sizeof target->password - 1);
        else
            memcpy(target->password, buf.data, length);
    }
    secret_wipe_buf(&buf);
    buf_fini(&buf);
    return rc;
}

int redis_target_init(struct redis_target *target, const char *url, const char *password_file,
                      struct err *err)
{
    *target = (struct redis_target){0};
    int rc;
    if (!strncmp(url, "unix:", 5))
        rc = parse_unix(target, url + 5, err);
    else
        rc = parse_hosts(target, url, err);
    if (rc == 0 && password_file && *password_file)
        rc = read_password(target, password_file, err);
    return rc;
}

void redis_target_place(const struct redis_target *target, char out[REDIS_PLACE_SIZE])
{
    if (target->path[0])
        snprintf(out, REDIS_PLACE_SIZE, "%s", target->path);
    else
        snprintf(out, REDIS_PLACE_SIZE, "%s:%d", target->node.host, target->node.port);
}

int redis_target_secure(struct redis_target *target, const struct redis_tls_files *files,
                        struct err *err)
{
    const char *field = files->ca_file     ? "redis-ca-file"
                        : files->cert_file ? "redis-cert-file"
                                           : "redis-key-file";
    /* Whoever names them believes that the connection is safe. */
    if (!target->secure && (files->ca_file || files->cert_file || files->key_file))
        return err_set(err, ERR_INVALID, field, "is of use with rediss:// only");
    if (!files->cert_file != !files->key_file)
        return err_set(err, ERR_INVALID, files->cert_file ? "redis-key-file" : "redis-cert-file",
                       "a certificate and its key are given together");
    target->files = *files;
    return 0;
}
