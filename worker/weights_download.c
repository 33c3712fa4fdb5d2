/* SPDX-License-Identifier: MIT */
#include "worker/weights_download.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STALL_MS 15000
#define TOTAL_MS (INT64_C(7) * 86400 * 1000) /* it is the patience that ends it */
#define RETRY_MS 200
#define RETRY_MAX_MS 30000
#define TELL_MS 10000
#define REDIRECTS 5
#define REFUSAL_BYTES 1024
#define PIECE_MS 50

/* One download, over all its attempts. */
struct transfer {
    struct weights_download *download;
    struct http_client *client; /* owned */
    int64_t begun_ms, told_ms;
    int64_t grown_ms; /* when there was more than ever before */
    int64_t most;     /* bytes that there were */
    int64_t size;     /* bytes in the file now */
    int disk_error;   /* errno of a write that failed */
};

void weights_download_place(const char *url, char *out, int size)
{
    const int length = (int)strcspn(url, "?#");
    snprintf(out, (size_t)size, "%.*s", length, url);
}

bool weights_download_pause(const atomic_bool *stop, int64_t ms)
{
    const int64_t until_ms = clock_ms() + ms;
    const struct timespec piece = {.tv_nsec = PIECE_MS * 1000000};
    while (clock_ms() < until_ms && !(stop && atomic_load(stop)))
        nanosleep(&piece, NULL);
    return !(stop && atomic_load(stop));
}

static int on_progress(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    struct transfer *transfer = context;
    const struct weights_download *download = transfer->download;
    const int64_t now_ms = clock_ms();
    if (now_ms >= transfer->told_ms + TELL_MS) {
        transfer->told_ms = now_ms;
        log_event(LOG_INFO, "worker.weights_fetch", "model", LOG_S, download->name, "bytes", LOG_I,
                  transfer->size, "s", LOG_I, (now_ms - transfer->begun_ms) / 1000, NULL);
    }
    return download->stop && atomic_load(download->stop);
}

static int on_data(void *context, const void *data, size_t size)
{
    struct transfer *transfer = context;
    const char *at = data;
    while (size > 0) {
        ssize_t written = pwrite(transfer->download->fd, at, size, transfer->size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            transfer->disk_error = written < 0 ? errno : ENOSPC;
            return -1;
        }
        at += written;
        size -= (size_t)written;
        transfer->size += written;
    }
    if (transfer->size > transfer->most) {
        transfer->most = transfer->size;
        transfer->grown_ms = clock_ms();
    }
    return 0;
}

static int cut(struct transfer *transfer, int64_t size, struct err *err)
{
    if (ftruncate(transfer->download->fd, (off_t)size) < 0)
        return err_set_errno(err, "weights-cache", "cannot cut off a file");
    transfer->size = size;
    return 0;
}

/* One request, and a second one at once where the server has no parts to give. `out_wait_s` is what
 * it asks for; -1: nothing. */
static int attempt(struct transfer *transfer, int64_t *out_wait_s, struct err *err)
{
    const bool resumes = transfer->size > 0;
    const struct http_request request = {
        .method = HTTP_GET,
        .url = transfer->download->url,
        .resume_at = transfer->size,
        .max_redirects = REDIRECTS,
        .on_progress = on_progress,
        .on_data = on_data,
        .context = transfer,
    };
    struct http_response response;
    struct err why = {0};
    http_response_init(&response, REFUSAL_BYTES);
    int rc = http_client_send(transfer->client, &request, &response, &why);
    const int status = response.status;
    *out_wait_s = response.retry_after_s;
    http_response_fini(&response);
    if (resumes && rc == ERR_UNSUPPORTED && status == 200) {
        rc = cut(transfer, 0, err);
        return rc == 0 ? attempt(transfer, out_wait_s, err) : rc;
    }
    transfer->download->resumed |= resumes;
    if (transfer->disk_error) {
        errno = transfer->disk_error;
        transfer->disk_error = 0;
        return err_set_errno(err, "weights-cache", "cannot write");
    }
    /* Nothing is left to ask for: the last piece came just before a cut. */
    if (resumes && status == 416)
        return 0;
    return rc < 0 ? err_set(err, rc, "weights.url", "%s", why.text) : 0;
}

static int64_t size_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ? 0 : (int64_t)status.st_size;
}

/* Says what failed, and waits. False: it is over. */
static bool try_again(struct transfer *transfer, struct backoff *backoff, int64_t wait_s, int rc,
                      const struct err *why)
{
    const struct weights_download *download = transfer->download;
    const int64_t left_ms = transfer->grown_ms + download->patience_ms - clock_ms();
    int64_t wait_ms = backoff_next_ms(backoff);
    if (wait_s >= 0 && wait_s * 1000 > wait_ms)
        wait_ms = wait_s * 1000 < RETRY_MAX_MS ? wait_s * 1000 : RETRY_MAX_MS;
    if (left_ms <= 0)
        return false;
    if (wait_ms > left_ms)
        wait_ms = left_ms;
    log_event(LOG_WARN, "worker.weights_retry", "model", LOG_S, download->name, "bytes", LOG_I,
              transfer->size, "code", LOG_S, err_name(rc), "reason", LOG_S, why->text, "wait_ms",
              LOG_I, wait_ms, NULL);
    return weights_download_pause(download->stop, wait_ms);
}

static int transfer_all(struct transfer *transfer, struct err *err)
{
    struct weights_download *download = transfer->download;
    struct backoff backoff = {.base_ms = RETRY_MS, .max_ms = RETRY_MAX_MS};
    for (;;) {
        struct err why = {0};
        const int64_t before = transfer->size;
        int64_t wait_s = -1;
        int rc = attempt(transfer, &wait_s, &why);
        if (rc == 0)
            return 0;
        if (transfer->size > before)
            backoff_reset(&backoff);
        if (download->stop && atomic_load(download->stop))
            return ERR_CANCELLED;
        if (rc == ERR_NOMEM || !try_again(transfer, &backoff, wait_s, rc, &why)) {
            if (download->stop && atomic_load(download->stop))
                return ERR_CANCELLED;
            return err_set(err, rc, why.field, "%s", why.text);
        }
    }
}

int weights_download(struct weights_download *download, struct err *err)
{
    const int64_t stall_ms = download->patience_ms < STALL_MS ? download->patience_ms : STALL_MS;
    const struct http_client_options options = {
        .total_timeout_ms = TOTAL_MS,
        .stall_timeout_ms = stall_ms,
        .connect_timeout_ms = stall_ms,
        .use_environment_proxy = true,
    };
    struct transfer transfer = {.download = download, .size = size_of(download->fd)};
    char place[160];
    weights_download_place(download->url, place, sizeof place);
    transfer.begun_ms = transfer.told_ms = transfer.grown_ms = clock_ms();
    transfer.most = transfer.size;
    download->resumed = false;
    int rc = http_client_create(&options, &transfer.client, err);
    if (rc < 0)
        return rc;
    log_event(LOG_INFO, "worker.weights_fetch", "model", LOG_S, download->name, "from", LOG_S,
              place, "bytes", LOG_I, transfer.size, NULL);
    rc = transfer_all(&transfer, err);
    http_client_destroy(&transfer.client);
    if (rc == 0)
        log_event(LOG_INFO, "worker.weights_fetched", "model", LOG_S, download->name, "bytes",
                  LOG_I, transfer.size, "ms", LOG_I, clock_ms() - transfer.begun_ms, NULL);
    return rc;
}
