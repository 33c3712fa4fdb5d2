/* SPDX-License-Identifier: MIT
 *
 * Kubernetes: of a ReplicaSet's pods those go first whose annotation pod-deletion-cost is lowest.
 * Ours is patched with the token of the pod's service account, which is read anew each time, as it
 * is replaced within the hour. Kubernetes asks not to change it often: two values it is, changed
 * when the worker becomes busy and when it has been idle for a while.
 * https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
 * https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
#include "common/http_client.h"
#include "worker/guard_source.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_MAX 16384
#define ANSWER_MAX (1 << 20) /* the whole pod comes back */
#define PATH_MAX_BYTES 512
#define URL_MAX 1024
#define NAME_SIZE 254 /* of a pod */
#define REQUEST_TIMEOUT_MS 8000

/* https://HOST:PORT as the pod's variables have it, or what the option says. */
static int write_server(const struct guard *guard, char out[URL_MAX], struct err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    int length;
    if (guard->options.endpoint)
        length = snprintf(out, URL_MAX, "%s", guard->options.endpoint);
    else if (!host || !port)
        return err_set(err, ERR_INVALID, "guard",
                       "kubernetes wants KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, "
                       "which every pod has");
    else
        length = snprintf(out, URL_MAX, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s",
                          host, port);
    return length < URL_MAX ? 0 : err_set(err, ERR_LIMIT, "guard-endpoint", "the URL is too long");
}

/* One line of a file in the account's folder. */
static int read_account(const struct guard *guard, const char *name, struct buf *out,
                        struct err *err)
{
    char path[PATH_MAX_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", guard->options.account, name) >= (int)sizeof path)
        return err_set(err, ERR_LIMIT, "guard-account", "the path is too long");
    int rc = buf_read_file(out, path, err);
    while (rc == 0 && out->size > 0 && isspace(out->data[out->size - 1]))
        buf_truncate(out, out->size - 1);
    if (rc == 0 && out->size == 0)
        return err_set(err, ERR_INVALID, "guard-account", "%s is empty", path);
    return rc;
}

/* They become parts of a URL. */
static bool is_name(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < NAME_SIZE &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length && text[0] != '.';
}

static int write_url(const struct guard *guard, char out[URL_MAX], struct err *err)
{
    char server[URL_MAX], pod[NAME_SIZE] = "";
    struct buf space;
    buf_init(&space, NAME_SIZE);
    int rc = write_server(guard, server, err);
    if (rc == 0)
        rc = read_account(guard, "namespace", &space, err);
    if (guard->options.pod)
        snprintf(pod, sizeof pod, "%s", guard->options.pod);
    else
        gethostname(pod, sizeof pod - 1);
    if (rc == 0 && (!is_name(pod) || !is_name(buf_text(&space))))
        rc = err_set(err, ERR_INVALID, "guard-pod", "the pod or its namespace has no such name");
    if (rc == 0 && snprintf(out, URL_MAX, "%s/api/v1/namespaces/%s/pods/%s", server,
                            buf_text(&space), pod) >= URL_MAX)
        rc = err_set(err, ERR_LIMIT, "guard-endpoint", "the URL is too long");
    buf_fini(&space);
    return rc;
}

static int write_authorization(const struct guard *guard, struct buf *out, struct err *err)
{
    struct buf token;
    buf_init(&token, TOKEN_MAX);
    int rc = read_account(guard, "token", &token, err);
    if (rc == 0)
        rc = buf_join(out, "Bearer ", buf_text(&token), NULL);
    buf_fini(&token);
    return rc;
}

int guard_kubernetes_open(const struct guard *guard, struct err *err)
{
    char url[URL_MAX];
    struct buf authorization;
    buf_init(&authorization, TOKEN_MAX + 16);
    int rc = write_url(guard, url, err);
    if (rc == 0)
        rc = write_authorization(guard, &authorization, err);
    buf_fini(&authorization);
    return rc;
}

static int patch(struct guard *guard, const char *url, const char *authorization, const char *ca,
                 enum guard_word word, struct err *err)
{
    static const char *const bodies[] = {
        [GUARD_IDLE] = "{\"metadata\":{\"annotations\":"
                       "{\"controller.kubernetes.io/pod-deletion-cost\":\"0\"}}}",
        [GUARD_BUSY] = "{\"metadata\":{\"annotations\":"
                       "{\"controller.kubernetes.io/pod-deletion-cost\":\"1000\"}}}",
    };
    const struct http_header headers[] = {{"Authorization", authorization},
                                          {"Content-Type", "application/merge-patch+json"},
                                          {"Accept", "application/json"}};
    struct http_client *client = NULL;
    struct http_response response;
    http_response_init(&response, ANSWER_MAX);
    /* A new one each time: the authority may have been replaced, too. */
    int rc = http_client_create(
        &(struct http_client_options){.total_timeout_ms = REQUEST_TIMEOUT_MS, .ca_file = ca},
        &client, err);
    if (rc == 0)
        rc = http_client_send(client,
                              &(struct http_request){.method = HTTP_PATCH,
                                                     .url = url,
                                                     .headers = headers,
                                                     .header_count = 3,
                                                     .body = bodies[word],
                                                     .body_size = strlen(bodies[word]),
                                                     .on_progress = guard_on_progress,
                                                     .context = guard},
                              &response, err);
    http_client_destroy(&client);
    http_response_fini(&response);
    return rc;
}

int guard_kubernetes_tell(struct guard *guard, enum guard_word word, struct err *err)
{
    char url[URL_MAX], ca[PATH_MAX_BYTES];
    struct buf authorization;
    buf_init(&authorization, TOKEN_MAX + 16);
    int rc = write_url(guard, url, err);
    if (rc == 0)
        rc = write_authorization(guard, &authorization, err);
    snprintf(ca, sizeof ca, "%s/ca.crt", guard->options.account);
    if (rc == 0)
        rc = patch(guard, url, buf_text(&authorization), ca, word, err);
    buf_fini(&authorization);
    return rc;
}
