/* SPDX-License-Identifier: MIT */
#include "common/aws_metadata.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_TTL "21600" /* six hours, the most there is */
#define TOKEN_RENEW_MS (5 * 3600 * 1000)
#define URL_MAX 2304

static int ask(struct aws_metadata *metadata, const char *path, enum http_method method,
               const struct http_header *header, struct err *err)
{
    char url[URL_MAX];
    if (snprintf(url, sizeof url, "%s%s", metadata->endpoint, path) >= (int)sizeof url)
        return err_set(err, ERR_LIMIT, "endpoint", "the URL is longer than %d bytes", URL_MAX);
    return http_client_send(metadata->client,
                            &(struct http_request){.method = method,
                                                   .url = url,
                                                   .headers = header,
                                                   .header_count = 1,
                                                   .on_progress = metadata->on_progress,
                                                   .context = metadata->context},
                            metadata->response, err);
}

static bool token_is_valid(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("+/=-_.", text[i]))
            return false;
    return length > 0;
}

static int get_token(struct aws_metadata *metadata, struct err *err)
{
    static const struct http_header header = {"X-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL};
    const struct buf *body = &metadata->response->body;
    if (clock_ms() < metadata->token_until_ms)
        return 0;
    int rc = ask(metadata, "/latest/api/token", HTTP_PUT, &header, err);
    if (rc == 0 && (body->size >= sizeof metadata->token || !token_is_valid(buf_text(body))))
        rc = err_set(err, ERR_INVALID, NULL, "what should be a token of IMDSv2 is none");
    if (rc < 0) /* 404 here says nothing of what was asked for */
        return rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc;
    memcpy(metadata->token, body->data, body->size + 1);
    metadata->token_until_ms = clock_ms() + TOKEN_RENEW_MS;
    return 0;
}

int aws_metadata_get(struct aws_metadata *metadata, const char *path, struct err *err)
{
    char full[512];
    if (snprintf(full, sizeof full, "/latest/meta-data/%s", path) >= (int)sizeof full)
        return err_set(err, ERR_LIMIT, NULL, "a path of the metadata service is too long");
    int rc = get_token(metadata, err);
    if (rc < 0)
        return rc;
    const struct http_header header = {"X-aws-ec2-metadata-token", metadata->token};
    rc = ask(metadata, full, HTTP_GET, &header, err);
    if (metadata->response->status == 401)
        metadata->token_until_ms = 0; /* it has expired: another one next time */
    return rc;
}

int aws_metadata_text(struct aws_metadata *metadata, const char *path, char *out, size_t size,
                      struct err *err)
{
    int rc = aws_metadata_get(metadata, path, err);
    if (rc < 0)
        return rc;
    const struct buf *body = &metadata->response->body;
    bool clean = body->size > 0 && body->size < size;
    for (size_t i = 0; i < body->size && clean; i++)
        clean = isgraph(body->data[i]) != 0;
    if (!clean)
        return err_set(err, ERR_CORRUPT, NULL, "the metadata service's %s is no word", path);
    memcpy(out, body->data, body->size + 1);
    return 0;
}
