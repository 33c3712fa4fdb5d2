/* SPDX-License-Identifier: MIT
 *
 * darkroom scale: tells an autoscaling group of AWS how many machines it should have, as often as
 * the dispatcher is asked how many workers are wanted. Machines that a busy worker has protected
 * are not taken, however few there should be. While either of the two is away, or says no, the
 * group stays as it is.
 * https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html */
#include "common/aws.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/stop.h"
#include "common/supervisor.h"
#include "dispatcher/cli/cli.h"
#include "dispatcher/cli/steady.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#define WANTED_MAX 100000
/* Somebody else may have told the group something else. */
#define REPEAT_MS 60000

struct scaler {
    struct cli *cli;   /* borrowed */
    const char *group; /* borrowed */
    struct aws *aws;   /* owned */
    struct steady steady;
    struct buf path;   /* what the dispatcher is asked */
    int64_t told;      /* -1: nothing yet */
    int64_t repeat_ms; /* clock_ms() */
    bool failing;
};

static int write_path(struct scaler *scaler)
{
    const struct cli_settings *settings = &scaler->cli->settings;
    buf_init(&scaler->path, 512);
    int rc = buf_printf(
        &scaler->path,
        "/v1/scale?target_wait_s=%" PRId64 "&start_s=%" PRId64 "&least=%" PRId64 "&most=%" PRId64,
        settings->target_wait_s, settings->start_s, settings->least, settings->most);
    if (rc == 0 && settings->model)
        rc = buf_append_text(&scaler->path, "&model=");
    if (rc == 0 && settings->model)
        rc = sigv4_encode(settings->model, 0, &scaler->path);
    return rc;
}

static int get_wanted(struct scaler *scaler, int64_t *out_wanted, struct err *err)
{
    const struct cli_settings *settings = &scaler->cli->settings;
    json_t *answer = NULL;
    int64_t wanted = 0;
    int rc = cli_ask(scaler->cli, "GET", buf_text(&scaler->path), NULL, &answer, err);
    if (rc == 0)
        rc = json_get_int(answer, "wanted", 0, WANTED_MAX, &wanted, err);
    json_decref(answer);
    if (rc < 0)
        return rc;
    /* Busy workers are always wanted; a group has its bounds all the same. */
    wanted = wanted > settings->most ? settings->most : wanted;
    *out_wanted = wanted < settings->least ? settings->least : wanted;
    return 0;
}

static int tell(struct scaler *scaler, int64_t count, struct err *err)
{
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, count);
    const struct sigv4_pair members[] = {
        {"Action", "SetDesiredCapacity"},
        {"Version", "2011-01-01"},
        {"AutoScalingGroupName", scaler->group},
        {"DesiredCapacity", number},
        {"HonorCooldown", "false"},
    };
    int rc =
        aws_query(scaler->aws, "autoscaling", members, sizeof members / sizeof members[0], err);
    if (rc == 0 && scaler->told != count)
        log_event(LOG_INFO, "scale.set", "group", LOG_S, scaler->group, "machines", LOG_I, count,
                  "before", LOG_I, scaler->told, NULL);
    return rc;
}

static int look(struct scaler *scaler, struct err *err)
{
    int64_t wanted, now_ms = clock_ms();
    int rc = get_wanted(scaler, &wanted, err);
    if (rc < 0)
        return rc;
    int64_t count = steady_take(&scaler->steady, wanted, now_ms);
    if (count == scaler->told && now_ms < scaler->repeat_ms)
        return 0;
    rc = tell(scaler, count, err);
    if (rc == 0) {
        scaler->told = count;
        scaler->repeat_ms = now_ms + REPEAT_MS;
    }
    return rc;
}

/* Once when it begins, once when it is over. */
static void note(struct scaler *scaler, int rc, const struct err *err)
{
    if (rc < 0 && !scaler->failing)
        log_event(LOG_WARN, "scale.failed", "code", LOG_S, err_name(rc), "error", LOG_S, err->text,
                  NULL);
    if (rc == 0 && scaler->failing)
        log_event(LOG_INFO, "scale.back", NULL);
    scaler->failing = rc < 0;
}

static int run(struct scaler *scaler, struct err *err)
{
    int64_t every_ms = scaler->cli->settings.every_s * 1000, next_ms = clock_ms();
    struct pollfd stop = {.fd = stop_fd(), .events = POLLIN};
    for (;;) {
        int64_t now_ms = clock_ms();
        if (now_ms >= next_ms) {
            struct err why = {0};
            int rc = look(scaler, &why);
            if (scaler->cli->settings.once)
                return rc < 0 ? err_set(err, rc, why.field, "%s", why.text) : 0;
            note(scaler, rc, &why);
            supervisor_ready();
            next_ms = now_ms + every_ms;
        }
        if (supervisor_due(now_ms))
            supervisor_beat(now_ms, "%" PRId64 " machines%s", scaler->told,
                            scaler->failing ? ", as they are: no answer" : "");
        int64_t wait_ms = next_ms < supervisor_next_ms() ? next_ms : supervisor_next_ms();
        wait_ms -= clock_ms();
        if (poll(&stop, 1, wait_ms > 0 ? (int)wait_ms : 0) > 0)
            return 0;
    }
}

int cli_scale(struct cli *cli, const char *word, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    struct scaler scaler = {.cli = cli,
                            .group = word,
                            .steady = {.down_after_ms = settings->down_after_s * 1000},
                            .told = -1};
    if (settings->least > settings->most)
        return err_set(err, ERR_INVALID, "least", "--least is more than --most");
    if (!cli->key[0])
        return err_set(err, ERR_INVALID, "key-file", "--key-file wants a file with an API key");
    log_init("scale", LOG_INFO);
    supervisor_init();
    int rc = write_path(&scaler);
    if (rc == 0)
        rc = aws_open(&(struct aws_options){.metadata = settings->aws_metadata,
                                            .endpoint = settings->aws_endpoint},
                      &scaler.aws, err);
    if (rc == 0)
        rc = run(&scaler, err);
    supervisor_stopping();
    aws_close(&scaler.aws);
    buf_fini(&scaler.path);
    return rc;
}
