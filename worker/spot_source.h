/* SPDX-License-Identifier: MIT
 *
 * What spot.c and its sources share: a source asks one service once, spot.c does the rest.
 *
 *     rc = spot_aws_poll(spot, &news, &err);   // 0: `news` holds, maybe SPOT_NONE
 *
 * A failure means only that nothing is known. All of it belongs to the watching thread. */
#ifndef DARKROOM_WORKER_SPOT_SOURCE_H
#define DARKROOM_WORKER_SPOT_SOURCE_H

#include "common/aws_metadata.h"
#include "common/http_client.h"
#include "worker/outage.h"
#include "worker/spot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#define SPOT_BODY_MAX 65536 /* what a metadata service may answer */
#define SPOT_ID_SIZE 129

struct spot_news {
    enum spot_notice notice;
    char detail[64]; /* for the log: what will happen, and when */
};

struct spot {
    struct spot_options options;
    int (*poll)(struct spot *spot, struct spot_news *out_news, struct err *err);
    struct http_client *client;    /* owned; NULL where no service is asked */
    struct http_response response; /* scratch */
    struct outage outage;

    pthread_t thread;
    atomic_bool stopping;
    atomic_int notice;    /* enum spot_notice, never goes back */
    int news_fd, stop_fd; /* owned */

    /* What a source remembers between two polls. */
    struct aws_metadata aws;
    char gcp_etag[65];
    bool at_once; /* the next question waits by itself, and so need not be waited for */
    char azure_name[SPOT_ID_SIZE];  /* this machine's */
    char azure_event[SPOT_ID_SIZE]; /* to be acknowledged; "" */
};

int spot_aws_poll(struct spot *spot, struct spot_news *out_news, struct err *err);
int spot_gcp_poll(struct spot *spot, struct spot_news *out_news, struct err *err);
int spot_azure_poll(struct spot *spot, struct spot_news *out_news, struct err *err);
void spot_azure_acknowledge(struct spot *spot);
int spot_file_poll(struct spot *spot, struct spot_news *out_news, struct err *err);
int spot_command_poll(struct spot *spot, struct spot_news *out_news, struct err *err);

/* One request to endpoint + `path`; the answer is in spot->response. `request` may hold method,
 * headers, body and timeout. Codes as http_client_send(); ERR_CANCELLED once nobody waits. */
int spot_ask(struct spot *spot, const char *path, struct http_request request, struct err *err);

#endif
