/* SPDX-License-Identifier: MIT */
#include "common/aws.h"

#include "common/aws_metadata.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/json.h"
#include "common/s3_xml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX 131072 /* a secret of Secrets Manager has 64 KiB at most */
#define TIMEOUT_MS 5000
#define CONNECT_TIMEOUT_MS 2000
/* New ones are there five minutes before the old ones expire, at the latest. */
#define RENEW_BEFORE_MS (4 * 60 * 1000)
#define URL_MAX 512

struct aws {
    struct aws_options options;
    struct http_client *client; /* owned */
    struct http_response response;
    struct aws_metadata metadata;
    char region[64], domain[64]; /* "" until asked for */
    struct s3_credentials credentials;
    int64_t credentials_until_ms; /* clock_wall_ms() */
};

int aws_open(const struct aws_options *options, struct aws **out_aws, struct err *err)
{
    struct aws *aws = calloc(1, sizeof *aws);
    if (!aws)
        return ERR_NOMEM;
    aws->options = *options;
    http_response_init(&aws->response, ANSWER_MAX);
    int rc = http_client_create(
        &(struct http_client_options){.connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                      .total_timeout_ms =
                                          options->timeout_ms ? options->timeout_ms : TIMEOUT_MS},
        &aws->client, err);
    aws->metadata =
        (struct aws_metadata){.endpoint = options->metadata ? options->metadata : AWS_METADATA,
                              .client = aws->client,
                              .response = &aws->response,
                              .on_progress = options->on_progress,
                              .context = options->context};
    if (rc < 0)
        aws_close(&aws);
    else
        *out_aws = aws;
    return rc;
}

void aws_close(struct aws **aws)
{
    if (!*aws)
        return;
    http_client_destroy(&(*aws)->client);
    if ((*aws)->response.body.size)
        crypto_wipe((*aws)->response.body.data, (*aws)->response.body.size);
    http_response_fini(&(*aws)->response);
    crypto_wipe(*aws, sizeof **aws);
    free(*aws);
    *aws = NULL;
}

int aws_word(struct aws *aws, const char *path, char *out, size_t size, struct err *err)
{
    return aws_metadata_text(&aws->metadata, path, out, size, err);
}

/* ---- whose calls they are ------------------------------------------------------------------- */

static int copy_member(const json_t *object, const char *name, char *out, size_t size,
                       struct err *err)
{
    const char *text;
    int rc = json_get_text(object, name, size - 1, &text, err);
    if (rc == 0)
        snprintf(out, size, "%s", text);
    return rc;
}

static int read_credentials(struct aws *aws, const struct buf *body, struct err *err)
{
    struct s3_credentials found = {.access_key = ""};
    const struct json_limits limits = {.max_bytes = 8192, .max_depth = 2};
    const char *expiration = "";
    int64_t until_ms = 0;
    json_t *document = NULL;
    int rc = json_parse(body->data, body->size, limits, &document, err);
    if (rc == 0)
        rc = copy_member(document, "AccessKeyId", found.access_key, sizeof found.access_key, err);
    if (rc == 0)
        rc = copy_member(document, "SecretAccessKey", found.secret_key, sizeof found.secret_key,
                         err);
    if (rc == 0)
        rc = copy_member(document, "Token", found.session_token, sizeof found.session_token, err);
    if (rc == 0)
        rc = json_get_text(document, "Expiration", CLOCK_ISO_SIZE, &expiration, err);
    if (rc == 0 && clock_parse_iso(expiration, &until_ms) < 0)
        rc = err_set(err, ERR_INVALID, "Expiration", "of the role's credentials is no time");
    if (rc == 0) {
        aws->credentials = found;
        aws->credentials_until_ms = until_ms - RENEW_BEFORE_MS;
    }
    s3_credentials_wipe(&found);
    json_decref(document);
    return rc;
}

static int get_credentials(struct aws *aws, struct err *err)
{
    char role[129], path[192];
    struct err cause = {0};
    if (clock_wall_ms() < aws->credentials_until_ms)
        return 0;
    int rc = aws_word(aws, "iam/security-credentials/", role, sizeof role, &cause);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_DENIED, NULL, "this machine has no role (instance profile)");
    if (rc < 0)
        return err_set(err, rc, cause.field, "%s", cause.text);
    snprintf(path, sizeof path, "iam/security-credentials/%s", role);
    rc = aws_metadata_get(&aws->metadata, path, err);
    return rc < 0 ? rc : read_credentials(aws, &aws->response.body, err);
}

int aws_credentials(struct aws *aws, struct s3_credentials *out_credentials, struct err *err)
{
    aws->credentials_until_ms = 0;
    int rc = get_credentials(aws, err);
    if (rc == 0)
        *out_credentials = aws->credentials;
    return rc;
}

static int get_ready(struct aws *aws, struct err *err)
{
    int rc = 0;
    if (!*aws->region)
        rc = aws_word(aws, "placement/region", aws->region, sizeof aws->region, err);
    if (rc == 0 && !*aws->domain)
        rc = aws_word(aws, "services/domain", aws->domain, sizeof aws->domain, err);
    return rc < 0 ? rc : get_credentials(aws, err);
}

/* ---- one signed call ------------------------------------------------------------------------ */

static int write_url(const struct aws *aws, const char *service, char out[URL_MAX], struct err *err)
{
    int length = aws->options.endpoint ? snprintf(out, URL_MAX, "%s/", aws->options.endpoint)
                                       : snprintf(out, URL_MAX, "https://%s.%s.%s/", service,
                                                  aws->region, aws->domain);
    if (length >= URL_MAX || !strstr(out, "://"))
        return err_set(err, ERR_INVALID, NULL, "the address of %s is none", service);
    return 0;
}

/* The service's own word for it is worth more than the status. */
static int explain(const struct aws_call *call, const struct http_response *response,
                   const struct err *cause, struct err *err)
{
    const struct json_limits limits = {.max_bytes = ANSWER_MAX, .max_depth = 16};
    const char *text = buf_text(&response->body), *type = NULL;
    json_t *document = NULL;
    char name[64] = "";
    if (!s3_xml_text(text, response->body.size, "Code", name, sizeof name) &&
        json_parse(text, response->body.size, limits, &document, NULL) == 0 &&
        json_get_text(document, "__type", 255, &type, NULL) == 0)
        snprintf(name, sizeof name, "%s", strrchr(type, '#') ? strrchr(type, '#') + 1 : type);
    json_decref(document);
    return err_set(err, cause->code, NULL, "%s: %s%s%s", call->service, cause->text,
                   *name ? ", " : "", name);
}

/* `host` is of the URL; both borrowed. */
static int send_signed(struct aws *aws, const struct aws_call *call, const char *url,
                       const char *host, struct err *err)
{
    char time[SIGV4_TIME_SIZE], hash[CRYPTO_SHA256_HEX_SIZE];
    const struct sigv4_scope scope = {&aws->credentials, aws->region, call->service,
                                      clock_wall_ms() / 1000};
    struct sigv4_pair names[5] = {{"content-type", call->content_type},
                                  {"host", host},
                                  {"x-amz-date", time},
                                  {"x-amz-security-token", aws->credentials.session_token}};
    struct http_header headers[6];
    struct buf authorization;
    size_t count = 4;
    if (call->target)
        names[count++] = (struct sigv4_pair){"x-amz-target", call->target};
    sigv4_time(scope.time_s, time);
    buf_init(&authorization, 1024);
    int rc = crypto_sha256_hex(call->body, call->body_size, hash);
    if (rc == 0)
        rc = sigv4_sign(&scope,
                        &(struct sigv4_request){.method = "POST",
                                                .path = "/",
                                                .headers = names,
                                                .header_count = count,
                                                .payload_hash = hash},
                        &authorization);
    for (size_t i = 0; i < count; i++)
        headers[i] = (struct http_header){names[i].name, names[i].value};
    headers[count] = (struct http_header){"Authorization", buf_text(&authorization)};
    if (rc == 0)
        rc = http_client_send(aws->client,
                              &(struct http_request){.method = HTTP_POST,
                                                     .url = url,
                                                     .headers = headers,
                                                     .header_count = count + 1,
                                                     .body = call->body,
                                                     .body_size = call->body_size,
                                                     .on_progress = aws->options.on_progress,
                                                     .context = aws->options.context},
                              &aws->response, err);
    buf_fini(&authorization);
    return rc;
}

static int send_once(struct aws *aws, const struct aws_call *call, struct err *err)
{
    char url[URL_MAX], host[URL_MAX];
    struct err cause = {0};
    int rc = get_ready(aws, err);
    if (rc == 0)
        rc = write_url(aws, call->service, url, err);
    if (rc < 0)
        return rc;
    const char *start = strstr(url, "://") + 3;
    snprintf(host, sizeof host, "%.*s", (int)strcspn(start, "/"), start);
    rc = send_signed(aws, call, url, host, &cause);
    return rc < 0 && cause.code ? explain(call, &aws->response, &cause, err) : rc;
}

int aws_send(struct aws *aws, const struct aws_call *call,
             const struct http_response **out_response, struct err *err)
{
    struct err cause = {0};
    bool fresh = clock_wall_ms() >= aws->credentials_until_ms;
    int rc = send_once(aws, call, &cause);
    if (rc == ERR_DENIED)
        aws->credentials_until_ms = 0;
    if (rc == ERR_DENIED && !fresh) {
        cause = (struct err){0};
        rc = send_once(aws, call, &cause);
    }
    if (rc < 0)
        return err_set(err, rc, cause.field, "%s", cause.text[0] ? cause.text : err_name(rc));
    if (out_response)
        *out_response = &aws->response;
    return 0;
}

int aws_query(struct aws *aws, const char *service, const struct sigv4_pair *members, size_t count,
              struct err *err)
{
    struct buf body;
    buf_init(&body, 8192);
    int rc = sigv4_query(members, count, &body);
    if (rc == 0)
        rc = aws_send(
            aws,
            &(struct aws_call){.service = service,
                               .content_type = "application/x-www-form-urlencoded; charset=utf-8",
                               .body = body.data,
                               .body_size = body.size},
            NULL, err);
    buf_fini(&body);
    return rc;
}
