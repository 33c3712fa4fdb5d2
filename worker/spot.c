/* SPDX-License-Identifier: MIT */
#include "worker/spot.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "worker/spot_source.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 1000
#define ASK_TIMEOUT_MS 2000
#define STALL_TIMEOUT_MS 120000 /* a service that waits for a change sends nothing meanwhile */
#define URL_MAX 2304

static const struct {
    const char *name;
    int (*poll)(struct spot *spot, struct spot_news *out_news, struct err *err);
} sources[] = {
    [SPOT_OFF] = {"off", NULL},
    [SPOT_AWS] = {"aws", spot_aws_poll},
    [SPOT_GCP] = {"gcp", spot_gcp_poll},
    [SPOT_AZURE] = {"azure", spot_azure_poll},
    [SPOT_FILE] = {"file", spot_file_poll},
    [SPOT_COMMAND] = {"command", spot_command_poll},
};

int spot_kind_parse(const char *text, enum spot_kind *out_kind, struct err *err)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (!strcmp(text, sources[i].name)) {
            *out_kind = (enum spot_kind)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, "spot", "wanted aws, gcp, azure, file, command or off");
}

static void ring(int fd)
{
    const uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written;
}

static int end_early(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    struct spot *spot = context;
    return atomic_load(&spot->stopping);
}

int spot_ask(struct spot *spot, const char *path, struct http_request request, struct err *err)
{
    char url[URL_MAX];
    if (snprintf(url, sizeof url, "%s%s", spot->options.endpoint, path) >= (int)sizeof url)
        return err_set(err, ERR_LIMIT, "spot-endpoint", "the URL is longer than %d bytes", URL_MAX);
    request.url = url;
    if (!request.on_progress) {
        request.on_progress = end_early;
        request.context = spot;
    }
    return http_client_send(spot->client, &request, &spot->response, err);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void tell(struct spot *spot, const struct spot_news *news)
{
    if ((int)news->notice <= atomic_load(&spot->notice))
        return;
    log_event(LOG_WARN, news->notice == SPOT_NOW ? "spot.notice" : "spot.recommendation", "from",
              LOG_S, sources[spot->options.kind].name, "detail", LOG_S, news->detail, NULL);
    atomic_store(&spot->notice, news->notice);
    ring(spot->news_fd);
}

static void ask_once(struct spot *spot)
{
    struct spot_news news = {SPOT_NONE, ""};
    struct err err = {0};
    int rc = spot->poll(spot, &news, &err);
    if (rc == ERR_CANCELLED)
        return;
    /* Once per outage, whatever the failure is. */
    outage_note(&spot->outage, rc < 0 ? ERR_UNAVAILABLE : 0, &err);
    /* A half of the answer may be known: a notice counts, whatever else failed. */
    tell(spot, &news);
}

static void *run(void *argument)
{
    struct spot *spot = argument;
    struct pollfd stop = {.fd = spot->stop_fd, .events = POLLIN};
    while (!atomic_load(&spot->stopping) && atomic_load(&spot->notice) != SPOT_NOW) {
        /* From the poll's beginning, so that one that waited for a change is followed by the next
         * at once, and a service that answers without waiting isn't asked in a frenzy. */
        int64_t next_ms = clock_ms() + spot->options.poll_ms;
        ask_once(spot);
        int64_t left_ms = spot->at_once ? 0 : next_ms - clock_ms();
        spot->at_once = false;
        if (left_ms > 0)
            poll(&stop, 1, (int)left_ms);
    }
    return NULL;
}

/* ---- its life ------------------------------------------------------------------------------- */

static void destroy(struct spot *spot)
{
    http_client_destroy(&spot->client);
    http_response_fini(&spot->response);
    if (spot->news_fd >= 0)
        close(spot->news_fd);
    if (spot->stop_fd >= 0)
        close(spot->stop_fd);
    free(spot);
}

static int prepare(struct spot *spot, struct err *err)
{
    const struct http_client_options limits = {
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .total_timeout_ms = ASK_TIMEOUT_MS,
        .stall_timeout_ms = STALL_TIMEOUT_MS,
    };
    spot->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    spot->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (spot->news_fd < 0 || spot->stop_fd < 0)
        return err_set_errno(err, NULL, "a descriptor for spot notices");
    int rc = http_client_create(&limits, &spot->client, err);
    spot->aws.client = spot->client;
    return rc;
}

int spot_start(const struct spot_options *options, struct spot **out_spot, struct err *err)
{
    if (options->kind == SPOT_OFF) {
        *out_spot = NULL;
        return 0;
    }
    struct spot *spot = calloc(1, sizeof *spot);
    if (!spot)
        return ERR_NOMEM;
    spot->options = *options;
    spot->poll = sources[options->kind].poll;
    spot->outage.name = "spot";
    spot->aws = (struct aws_metadata){.endpoint = options->endpoint,
                                      .response = &spot->response,
                                      .on_progress = end_early,
                                      .context = spot};
    spot->news_fd = spot->stop_fd = -1;
    http_response_init(&spot->response, SPOT_BODY_MAX);
    int rc = prepare(spot, err);
    if (rc == 0 && (errno = pthread_create(&spot->thread, NULL, run, spot)))
        rc = err_set_errno(err, NULL, "a thread for spot notices");
    if (rc < 0) {
        destroy(spot);
        return rc;
    }
    pthread_setname_np(spot->thread, "dk-spot");
    *out_spot = spot;
    return 0;
}

int spot_fd(const struct spot *spot)
{
    return spot ? spot->news_fd : -1;
}

enum spot_notice spot_take(struct spot *spot)
{
    uint64_t seen;
    if (!spot)
        return SPOT_NONE;
    ssize_t got = read(spot->news_fd, &seen, sizeof seen);
    (void)got;
    return (enum spot_notice)atomic_load(&spot->notice);
}

void spot_quiet(struct spot *spot)
{
    if (!spot)
        return;
    atomic_store(&spot->stopping, true);
    ring(spot->stop_fd);
}

void spot_end(struct spot **spot, bool acknowledge)
{
    if (!*spot)
        return;
    spot_quiet(*spot);
    pthread_join((*spot)->thread, NULL);
    if (acknowledge && (*spot)->options.kind == SPOT_AZURE)
        spot_azure_acknowledge(*spot);
    destroy(*spot);
    *spot = NULL;
}
