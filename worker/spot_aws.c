/* SPDX-License-Identifier: MIT
 *
 * AWS: IMDSv2. A session token by PUT, then `spot/instance-action` (about 120 s ahead, best effort)
 * and `events/recommendations/rebalance`; both are 404 while there is nothing to say.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html */
#include "common/err.h"
#include "common/json.h"
#include "worker/spot_source.h"

#include <stdio.h>
#include <string.h>

static const struct json_limits limits = {.max_bytes = 4096, .max_depth = 4};

/* The object at `path`, owned by the caller; NULL where the answer is 404. */
static int get(struct spot *spot, const char *path, json_t **out_value, struct err *err)
{
    struct err cause = {0};
    int rc = aws_metadata_get(&spot->aws, path, &cause);
    *out_value = NULL;
    if (rc == ERR_NOT_FOUND)
        return 0;
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
    int rc = get(spot, "spot/instance-action", &action, err);
    if (rc == 0 && action)
        rc = read_action(action, out_news, err);
    else if (rc == 0 && spot->options.rebalance)
        rc = get(spot, "events/recommendations/rebalance", &rebalance, err);
    if (rc == 0 && rebalance)
        rc = read_rebalance(rebalance, out_news, err);
    json_decref(action);
    json_decref(rebalance);
    return rc;
}
