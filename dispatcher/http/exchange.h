/* SPDX-License-Identifier: MIT
 *
 * What server.c, which libmicrohttpd calls, and exchange.c, which routes call, know of
 * the server and of a request under way. For these two alone. */
#ifndef DARKROOM_DISPATCHER_HTTP_EXCHANGE_H
#define DARKROOM_DISPATCHER_HTTP_EXCHANGE_H

#include "dispatcher/http/server.h"

#include <microhttpd.h>

struct http_server {
    struct MHD_Daemon *daemon; /* owned */
    struct exchange_handlers callbacks;
    struct http_server_options options; /* without the text */
    int fd;                             /* the daemon's epoll */
    int clients_fd;                     /* an epoll of clients whose leaving matters */
    uint16_t port;
    bool leaving;             /* each answer is its connection's last */
    bool readable;            /* something has come */
    bool resumed;             /* an answer waits to be taken up */
    size_t awake;             /* requests that wait for their answer without sleeping */
    size_t moving;            /* requests that are read or sent: all that do not wait */
    int64_t now_ms;           /* of this run */
    int64_t idle_until_ms;    /* all that there is waits for its answer */
    struct exchange *orphans; /* answered after their clients had left */
};

struct exchange {
    struct http_server *server;        /* borrowed */
    struct MHD_Connection *connection; /* borrowed; NULL once the client has left too early */
    struct exchange *next_orphan;
    enum method method;
    const char *method_name; /* borrowed from the connection */
    char *target;            /* owned: path '\0' raw query */
    const char *query;       /* inside target; NULL without one */
    void *user;
    exchange_sink *sink;
    size_t max_body, body_seen;
    int64_t body_size; /* announced; once opened */
    int64_t started_ms;
    bool opened;    /* headers() was called */
    bool completed; /* complete() was called */
    bool suspended;
    bool awake;          /* waits for its answer without sleeping, */
    int64_t sleep_ms;    /* until then, */
    unsigned awake_runs; /* or so many runs */
    bool slow;           /* not even that */
    bool held;           /* it sleeps, or slept, in MHD's first call */
    unsigned holds;      /* exchange_hold() without exchange_go_on() */
    bool queued;
    bool shared; /* the answer is borrowed */
    unsigned status;
    struct MHD_Response *answer; /* owned until queued, unless shared */
    bool detached;               /* the socket is somebody else's now */
    void (*left)(void *data);    /* NULL: nobody wants to know */
    void *left_data;
    unsigned header_count;
    struct {
        const char *name; /* borrowed */
        char *value;      /* owned */
    } headers[EXCHANGE_MAX_HEADERS];
};

/* Nobody has to be told any more that the client left; true where somebody had to be. */
bool exchange_forget_client(struct exchange *exchange);

/* What exchange_body_size() says from then on. */
int64_t exchange_read_body_size(const struct exchange *exchange);

/* Refuses a body that is too large; called once it is known how large it may be. */
void exchange_check_size(struct exchange *exchange);

#endif
