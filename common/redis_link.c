/* SPDX-License-Identifier: MIT
 *
 * hiredis' asynchronous context on the caller's epoll descriptor.
 *
 * hiredis owns the context and frees it itself when a connection ends, from inside its handlers;
 * on_cleanup() is where we learn of it, the last moment at which the descriptor is still open.
 * So every function here that called into hiredis looks at link->context again. */
#include "common/redis_link.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis.h"
#include "common/redis_tls.h"
#include "common/redis_wire.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 2000
#define CONNECT_LIMIT_MS 5000
#define DEFAULT_TIMEOUT_MS 5000

struct redis_link {
    struct redis_target target;
    int epoll_fd;
    void *epoll_tag;
    redisAsyncContext *context; /* hiredis'; NULL while disconnected */
    struct ssl_st *session;     /* the context's; NULL without TLS */
    bool ready;                 /* connected and through the handshake */
    bool want_write;            /* hiredis has bytes to write */
    bool registered;
    uint32_t armed; /* events that epoll watches for */
    int handshake_step;
    size_t pending;
    int64_t timeout_ms;
    int64_t progress_ms; /* when the oldest waiting command became the oldest */
    int64_t connecting_ms, reconnect_ms, backoff_ms;
    int64_t functions_ms; /* until then scripts go by their hash: functions are not to be had */
    bool may_not_load;    /* functions: others may have loaded them by then */
    unsigned jitter;
    struct buf wire;
    char reason[256];
};

/* One command under way. */
struct waiting {
    struct redis_link *link;
    redis_async_done *done; /* NULL: nobody waits */
    void *data;
    const struct redis_command *command; /* &copy, or the sender's; NULL: no script */
    struct redis_command copy;           /* where the script may have to be sent in another form */
    enum redis_form form;
    bool asking;
};

static void say(struct redis_link *link, const char *reason)
{
    snprintf(link->reason, sizeof link->reason, "%s", reason);
}

/* What the system says names no server. */
static void say_of_place(struct redis_link *link, const char *reason)
{
    char place[REDIS_PLACE_SIZE];
    redis_target_place(&link->target, place);
    snprintf(link->reason, sizeof link->reason, "%.160s: %.90s", place, reason);
}

/* ---- epoll ---------------------------------------------------------------------------------- */

static void watch(struct redis_link *link, uint32_t events)
{
    if (!link->context || (link->registered && link->armed == events))
        return;
    struct epoll_event event = {.events = events, .data.ptr = link->epoll_tag};
    int how = link->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(link->epoll_fd, how, link->context->c.fd, &event) == 0) {
        link->registered = true;
        link->armed = events;
    }
}

static void on_add_read(void *data)
{
    struct redis_link *link = data;
    watch(link, link->armed | EPOLLIN);
}

/* Only noted: what is queued leaves at the next tick, without a trip through epoll. */
static void on_add_write(void *data)
{
    struct redis_link *link = data;
    link->want_write = true;
}

static void on_del_write(void *data)
{
    struct redis_link *link = data;
    link->want_write = false;
}

static void on_del_read(void *data)
{
    (void)data; /* we always read: a closed connection must be noticed */
}

static void on_cleanup(void *data)
{
    struct redis_link *link = data;
    if (link->registered)
        epoll_ctl(link->epoll_fd, EPOLL_CTL_DEL, link->context->c.fd, NULL);
    link->registered = false;
    link->armed = 0;
    link->ready = false;
    link->want_write = false;
    if (!redis_tls_reason(link->session, link->reason, sizeof link->reason)) {
        if (link->context->errstr && link->context->errstr[0])
            say_of_place(link, link->context->errstr);
        else if (!link->reason[0])
            say(link, "the connection was closed");
        if (link->session && link->handshake_step == 0)
            redis_tls_guess(&link->target, link->reason, sizeof link->reason);
    }
    link->context = NULL;
    link->session = NULL;
    /* A quarter of jitter, so that a fleet does not come back in step. */
    link->jitter = link->jitter * 1103515245u + 12345u;
    link->reconnect_ms =
        clock_ms() + link->backoff_ms + link->jitter / 65536u % (link->backoff_ms / 4 + 1);
    link->backoff_ms *= 2;
    if (link->backoff_ms > BACKOFF_MAX_MS)
        link->backoff_ms = BACKOFF_MAX_MS;
}

/* ---- connecting ----------------------------------------------------------------------------- */

static void handshake_next(struct redis_link *link);

static void on_handshake(redisAsyncContext *context, void *reply, void *data)
{
    struct redis_link *link = data;
    struct err err = {0};
    if (!reply)
        return;
    if (redis_handshake_check(reply, &err) < 0) {
        say(link, err.text);
        redisAsyncDisconnect(context);
        return;
    }
    link->handshake_step++;
    handshake_next(link);
}

static int put_on_wire(struct redis_link *link, const struct redis_command *command,
                       enum redis_form form, redisCallbackFn *callback, void *data)
{
    buf_clear(&link->wire);
    int rc = redis_wire_append(&link->wire, command, form);
    if (rc < 0)
        return rc;
    if (redisAsyncFormattedCommand(link->context, callback, data, (const char *)link->wire.data,
                                   link->wire.size) != REDIS_OK)
        return ERR_UNAVAILABLE;
    /* One huge command must not hold its memory for ever. */
    if (link->wire.capacity > 1024 * 1024)
        buf_fini(&link->wire);
    return 0;
}

static void handshake_next(struct redis_link *link)
{
    struct redis_command command;
    redis_command_init(&command, 1024);
    if (redis_handshake(&link->target, link->handshake_step, &command)) {
        put_on_wire(link, &command, REDIS_BY_NAME, on_handshake, link);
    } else {
        link->ready = true;
        link->backoff_ms = BACKOFF_FIRST_MS;
        link->reason[0] = 0;
    }
    redis_command_fini(&command);
}

static void on_connected(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;
    if (status != REDIS_OK)
        return; /* hiredis cleans up by itself */
    struct err err = {0};
    if (link->target.secure &&
        redis_tls_start(&link->target, &link->context->c, &link->session, &err) < 0) {
        say(link, err.text);
        redisAsyncDisconnect(link->context);
        return;
    }
    link->handshake_step = 0;
    link->functions_ms = 0;
    link->may_not_load = false;
    handshake_next(link);
}

static void connect_now(struct redis_link *link, int64_t now_ms)
{
    const struct redis_target *target = &link->target;
    redisAsyncContext *context = target->path[0]
                                     ? redisAsyncConnectUnix(target->path)
                                     : redisAsyncConnect(target->node.host, target->node.port);
    if (!context || context->err) {
        say_of_place(link, context ? context->errstr : "no memory for a connection");
        if (context)
            redisAsyncFree(context);
        link->reconnect_ms = now_ms + link->backoff_ms;
        link->backoff_ms =
            link->backoff_ms * 2 < BACKOFF_MAX_MS ? link->backoff_ms * 2 : BACKOFF_MAX_MS;
        return;
    }
    link->context = context;
    link->connecting_ms = now_ms;
    context->data = link;
    context->ev.data = link;
    context->ev.addRead = on_add_read;
    context->ev.delRead = on_del_read;
    context->ev.addWrite = on_add_write;
    context->ev.delWrite = on_del_write;
    context->ev.cleanup = on_cleanup;
    redisAsyncSetConnectCallback(context, on_connected);
    /* Writable means connected. */
    watch(link, EPOLLIN | EPOLLOUT);
}

int redis_link_create(const struct redis_target *target, int epoll_fd, void *epoll_tag,
                      struct redis_link **out_link, struct err *err)
{
    struct redis_link *link = calloc(1, sizeof *link);
    if (!link)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    link->target = *target;
    link->epoll_fd = epoll_fd;
    link->epoll_tag = epoll_tag ? epoll_tag : link;
    link->backoff_ms = BACKOFF_FIRST_MS;
    link->timeout_ms = DEFAULT_TIMEOUT_MS;
    link->jitter = (unsigned)clock_us();
    buf_init(&link->wire, REDIS_WIRE_MAX);
    say(link, "connecting");
    connect_now(link, clock_ms());
    *out_link = link;
    return 0;
}

void redis_link_destroy(struct redis_link **link)
{
    if (!*link)
        return;
    if ((*link)->context)
        redisAsyncFree((*link)->context);
    buf_fini(&(*link)->wire);
    free(*link);
    *link = NULL;
}

void redis_link_set_timeout(struct redis_link *link, int64_t timeout_ms)
{
    link->timeout_ms = timeout_ms;
}

bool redis_link_ready(const struct redis_link *link)
{
    return link->ready;
}

size_t redis_link_pending(const struct redis_link *link)
{
    return link->pending;
}

const char *redis_link_reason(const struct redis_link *link)
{
    return link->ready ? "" : link->reason;
}

/* ---- commands ------------------------------------------------------------------------------- */

static void waiting_free(struct waiting *waiting)
{
    redis_command_fini(&waiting->copy);
    free(waiting);
}

static void on_reply(redisAsyncContext *context, void *reply, void *data);

static int put_waiting(struct redis_link *link, const struct redis_command *command,
                       struct waiting *waiting)
{
    struct redis_command asking;
    int rc = 0;
    if (waiting->asking) {
        redis_command_init(&asking, 64);
        redis_command_text(&asking, "ASKING");
        rc = put_on_wire(link, &asking, REDIS_BY_NAME, NULL, NULL);
        redis_command_fini(&asking);
    }
    return rc < 0 ? rc : put_on_wire(link, command, waiting->form, on_reply, waiting);
}

static void on_library(redisAsyncContext *context, void *reply, void *data)
{
    struct redis_link *link = data;
    (void)context;
    if (!reply)
        return;
    int rc = redis_load_check(reply);
    if (rc == 0)
        link->functions_ms = 0;
    link->may_not_load = rc < 0 && rc != ERR_UNAVAILABLE;
}

/* Loads a library that the server does not have. Scripts go by their hash until that is answered,
 * and for a while where it cannot be had. */
static void load_library(struct redis_link *link, const struct redis_library *library)
{
    struct redis_command load;
    if (link->functions_ms > clock_ms())
        return;
    link->functions_ms = clock_ms() + REDIS_FUNCTIONS_AGAIN_MS;
    if (link->may_not_load)
        return;
    redis_command_init(&load, REDIS_WIRE_MAX);
    redis_command_load(&load, library);
    put_on_wire(link, &load, REDIS_BY_NAME, on_library, link);
    redis_command_fini(&load);
}

/* Whether the server does not know a script in this form, so that another is to be tried. */
static bool wants_repeat(struct waiting *waiting, const struct redis_reply *reply)
{
    enum redis_form wanted;
    if (!waiting->command || !redis_reply_wants_form(reply, &wanted) || wanted <= waiting->form)
        return false;
    waiting->form = wanted;
    if (wanted == REDIS_BY_HASH)
        load_library(waiting->link, waiting->command->script->library);
    return true;
}

static void on_reply(redisAsyncContext *context, void *reply, void *data)
{
    struct waiting *waiting = data;
    struct redis_link *link = waiting->link;
    (void)context;
    link->progress_ms = clock_ms();
    if (!reply)
        link->ready = false;
    if (reply && wants_repeat(waiting, reply)) {
        if (put_waiting(link, waiting->command, waiting) == 0)
            return;
        reply = NULL;
    }
    link->pending--;
    int rc = reply ? redis_reply_check(reply, NULL) : ERR_UNAVAILABLE;
    bool demoted = redis_reply_is_demoted(reply);
    if (waiting->done)
        waiting->done(rc, reply, waiting->data);
    waiting_free(waiting);
    if (demoted && link->context) {
        say(link, "the server is a replica now");
        redisAsyncDisconnect(link->context);
    }
}

int redis_link_send(struct redis_link *link, const struct redis_command *command, unsigned flags,
                    redis_async_done *done, void *data)
{
    if (command->failure)
        return command->failure;
    if (!link->ready || link->pending >= REDIS_ASYNC_MAX_PENDING)
        return ERR_UNAVAILABLE;
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting)
        return ERR_NOMEM;
    bool by_hash = link->functions_ms && link->functions_ms > clock_ms();
    *waiting = (struct waiting){.link = link,
                                .done = done,
                                .data = data,
                                .command = command->script ? command : NULL,
                                .form = by_hash ? REDIS_BY_HASH : REDIS_BY_NAME,
                                .asking = (flags & REDIS_LINK_ASKING) != 0};
    int rc = 0;
    if (command->script && !(flags & REDIS_LINK_KEPT)) {
        rc = redis_command_copy(&waiting->copy, command);
        waiting->command = &waiting->copy;
    }
    if (rc == 0)
        rc = put_waiting(link, command, waiting);
    if (rc < 0) {
        waiting_free(waiting);
        return rc;
    }
    if (link->pending++ == 0)
        link->progress_ms = clock_ms();
    return 0;
}

/* ---- the loop -------------------------------------------------------------------------------- */

void redis_link_flush(struct redis_link *link)
{
    redis_tls_forget(link->session);
    if (link->context && link->want_write && !(link->armed & EPOLLOUT))
        redisAsyncHandleWrite(link->context);
    if (!link->context)
        return;
    bool connected = (link->context->c.flags & REDIS_CONNECTED) != 0;
    watch(link, link->want_write || !connected ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void redis_link_handle(struct redis_link *link, uint32_t events)
{
    bool connected = link->context && (link->context->c.flags & REDIS_CONNECTED);
    redis_tls_forget(link->session);
    /* An error while connecting shows in either handler; the write one reports it best. */
    if (link->context && (events & EPOLLOUT || (!connected && events & (EPOLLERR | EPOLLHUP))))
        redisAsyncHandleWrite(link->context);
    if (link->context && events & (EPOLLIN | EPOLLERR | EPOLLHUP) &&
        (link->context->c.flags & REDIS_CONNECTED))
        redisAsyncHandleRead(link->context);
}

static void drop(struct redis_link *link, const char *reason)
{
    say(link, reason);
    link->ready = false;
    redisAsyncFree(link->context);
    say(link, reason);
}

int64_t redis_link_tick(struct redis_link *link, int64_t now_ms)
{
    if (link->context && !link->ready && now_ms - link->connecting_ms >= CONNECT_LIMIT_MS)
        drop(link, link->session ? REDIS_TLS_SILENCE : "no connection in time");
    else if (link->ready && link->pending && link->timeout_ms &&
             now_ms - link->progress_ms >= link->timeout_ms)
        drop(link, "no answer in time");
    if (!link->context && now_ms >= link->reconnect_ms)
        connect_now(link, now_ms);
    redis_link_flush(link);
    if (!link->context)
        return link->reconnect_ms;
    if (!link->ready)
        return link->connecting_ms + CONNECT_LIMIT_MS;
    return link->pending && link->timeout_ms ? link->progress_ms + link->timeout_ms : INT64_MAX;
}

const struct redis_address *redis_link_address(const struct redis_link *link)
{
    return &link->target.node;
}

int64_t redis_link_silent_ms(const struct redis_link *link)
{
    return link->pending > 0 ? link->progress_ms : INT64_MAX;
}
