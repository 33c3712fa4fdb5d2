/* SPDX-License-Identifier: MIT */
#include "common/redis_sentinel.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis_link.h"
#include "common/redis_route.h"

#include <stdio.h>
#include <stdlib.h>

#define ASK_MS 500
#define HURRY_MS 100
/* A sentinel that says nothing for so long is left for the next one. */
#define PATIENCE_MS 500

struct redis_sentinel {
    const struct redis_target *target; /* borrowed */
    int epoll_fd;
    struct redis_link *link; /* to the one that is asked; owned */
    size_t index;            /* which one that is */
    bool asked;
    int64_t since_ms; /* of the last sign of life */
    int64_t asked_ms; /* of the last question that was answered */
    int64_t epoch;
    bool known;
    struct redis_address master;
    struct redis_command command;
    char reason[256];
};

static int open_link(struct redis_sentinel *sentinel, int64_t now_ms, struct err *err)
{
    struct redis_target target;
    redis_link_destroy(&sentinel->link);
    redis_target_of_sentinel(sentinel->target, sentinel->index, &target);
    sentinel->since_ms = now_ms;
    sentinel->asked = false;
    sentinel->asked_ms = 0;
    return redis_link_create(&target, sentinel->epoll_fd, NULL, &sentinel->link, err);
}

int redis_sentinel_create(const struct redis_target *target, int epoll_fd,
                          struct redis_sentinel **out_sentinel, struct err *err)
{
    struct redis_sentinel *sentinel = calloc(1, sizeof *sentinel);
    if (!sentinel)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    sentinel->target = target;
    sentinel->epoll_fd = epoll_fd;
    redis_command_init(&sentinel->command, 1024);
    snprintf(sentinel->reason, sizeof sentinel->reason, "no sentinel has answered yet");
    int rc = open_link(sentinel, clock_ms(), err);
    if (rc < 0)
        redis_sentinel_destroy(&sentinel);
    else
        *out_sentinel = sentinel;
    return rc;
}

void redis_sentinel_destroy(struct redis_sentinel **sentinel)
{
    if (!*sentinel)
        return;
    redis_link_destroy(&(*sentinel)->link);
    redis_command_fini(&(*sentinel)->command);
    free(*sentinel);
    *sentinel = NULL;
}

static void on_master(int rc, const struct redis_reply *reply, void *data)
{
    struct redis_sentinel *sentinel = data;
    struct redis_address address = {0};
    struct err err = {0};
    int64_t epoch = 0;
    sentinel->asked = false;
    if (!reply)
        return;
    sentinel->asked_ms = sentinel->since_ms = clock_ms();
    rc = redis_reply_check(reply, &err);
    if (rc == 0)
        rc = redis_sentinel_parse(reply, &address, &epoch, &err);
    if (rc < 0) {
        snprintf(sentinel->reason, sizeof sentinel->reason, "sentinel: %.200s", err.text);
        sentinel->since_ms = 0; /* another one may know better */
    } else if (!sentinel->known || epoch >= sentinel->epoch) {
        sentinel->known = true;
        sentinel->epoch = epoch;
        sentinel->master = address;
    }
}

static int64_t ask(struct redis_sentinel *sentinel, bool hurry, int64_t now_ms)
{
    int64_t due_ms = sentinel->asked_ms + (hurry ? HURRY_MS : ASK_MS);
    if (now_ms < due_ms)
        return due_ms;
    redis_sentinel_command(sentinel->target, &sentinel->command);
    sentinel->since_ms = now_ms;
    sentinel->asked =
        redis_link_send(sentinel->link, &sentinel->command, 0, on_master, sentinel) == 0;
    return now_ms + PATIENCE_MS;
}

int64_t redis_sentinel_tick(struct redis_sentinel *sentinel, bool hurry, int64_t now_ms)
{
    if (!sentinel->link && open_link(sentinel, now_ms, NULL) < 0)
        return now_ms + PATIENCE_MS;
    int64_t next_ms = sentinel->since_ms + PATIENCE_MS;
    bool ready = redis_link_ready(sentinel->link);
    if (ready && !sentinel->asked && sentinel->since_ms > 0) {
        next_ms = ask(sentinel, hurry, now_ms);
    } else if (now_ms >= next_ms) {
        if (!ready && !sentinel->known)
            snprintf(sentinel->reason, sizeof sentinel->reason, "sentinel: %.200s",
                     redis_link_reason(sentinel->link));
        sentinel->index = (sentinel->index + 1) % sentinel->target->seed_count;
        if (open_link(sentinel, now_ms, NULL) < 0)
            return now_ms + PATIENCE_MS;
        next_ms = now_ms + PATIENCE_MS;
    }
    int64_t link_ms = redis_link_tick(sentinel->link, now_ms);
    return link_ms < next_ms ? link_ms : next_ms;
}

const struct redis_address *redis_sentinel_master(const struct redis_sentinel *sentinel)
{
    return sentinel->known ? &sentinel->master : NULL;
}

const char *redis_sentinel_reason(const struct redis_sentinel *sentinel)
{
    return sentinel->reason;
}
