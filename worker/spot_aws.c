/* SPDX-License-Identifier: MIT
 *
 * AWS: IMDSv2. A session token by PUT, then `spot/instance-action` (about 120 s ahead, best effort)
 * and `events/recommendations/rebalance`; both are 404 while there is nothing to say.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html */
#include "common/clock.h"
#include "common/err.h"
#include "common/json.h"
#include "worker/spot_source.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_TTL "21600" /* six hours, the most there is */
#define TOKEN_RENEW_MS (5 * 3600 * 1000)

static const struct json_limits limits = {.max_bytes = 4096, .max_depth = 4};

static bool token_is_valid(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("+/=-_.", text[i]))
            return false;
    return length > 0;
}

static int get_token(struct spot *spot, struct err *err)
{
    static const struct http_header header = {"X-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL};
    if (clock_ms() < spot->aws_token_until_ms)
        return 0;
    int rc = spot_ask(
        spot, "/latest/api/token",
        (struct http_request){.method = HTTP_PUT, .headers = &header, .header_count = 1}, err);
    const char *token = buf_text(&spot->response.body);
    if (rc == 0 && (spot->response.body.size >= sizeof spot->aws_token || !token_is_valid(token)))
        rc = err_set(err, ERR_INVALID, NULL, "what should be a token of IMDSv2 is none");
    if (rc < 0)
        return rc;
    memcpy(spot->aws_token, token, spot->response.body.size + 1);
    spot->aws_token_until_ms = clock_ms() + TOKEN_RENEW_MS;
    return 0;
}

/* The object at `path`, owned by the caller; NULL where the answer is 404. */
static int get(struct spot *spot, const char *path, json_t **out_value, struct err *err)
{
    const struct http_header header = {"X-aws-ec2-metadata-token", spot->aws_token};
    struct err cause = {0};
    int rc =
        spot_ask(spot, path, (struct http_request){.headers = &header, .header_count = 1}, &cause);
    *out_value = NULL;
    if (spot->response.status == 404)
        return 0;
    if (spot->response.status == 401)
        spot->aws_token_until_ms = 0; /* it has expired: another one next time */
    if (rc < 0) {
        *err = cause;
        return rc;
    }
    return json_parse(spot->response.body.data, spot->response.body.size, limits, out_value, err);
}

static int read_action(const json_t *value, struct spot_news *out_news, struct err *err)
{
    const char *action, *time;
    int rc = json_get_text(value, "action", 16, &action, err);
    if (rc == 0)
        rc = json_get_text(value, "time", 32, &time, err);
    if (rc == 0 && strcmp(action, "terminate") && strcmp(action, "stop") &&
        strcmp(action, "hibernate"))
        rc = err_set(err, ERR_UNSUPPORTED, "action", "wanted terminate, stop or hibernate");
    if (rc < 0)
        return rc;
    out_news->notice = SPOT_NOW;
    snprintf(out_news->detail, sizeof out_news->detail, "%s at %s", action, time);
    return 0;
}

static int read_rebalance(const json_t *value, struct spot_news *out_news, struct err *err)
{
    const char *time;
    int rc = json_get_text(value, "noticeTime", 32, &time, err);
    if (rc < 0)
        return rc;
    out_news->notice = SPOT_SOON;
    snprintf(out_news->detail, sizeof out_news->detail, "rebalance, since %s", time);
    return 0;
}

int spot_aws_poll(struct spot *spot, struct spot_news *out_news, struct err *err)
{
    json_t *action = NULL, *rebalance = NULL;
    int rc = get_token(spot, err);
    if (rc == 0)
        rc = get(spot, "/latest/meta-data/spot/instance-action", &action, err);
    if (rc == 0 && action)
        rc = read_action(action, out_news, err);
    else if (rc == 0 && spot->options.rebalance)
        rc = get(spot, "/latest/meta-data/events/recommendations/rebalance", &rebalance, err);
    if (rc == 0 && rebalance)
        rc = read_rebalance(rebalance, out_news, err);
    json_decref(action);
    json_decref(rebalance);
    return rc;
}
