/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/cli.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/http_client.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MS 5000
#define MAX_ANSWER_BYTES 4096

/* What the program said, in one line and without what could move a cursor. */
static void print_line(struct buf *text)
{
    for (const unsigned char *c = (const unsigned char *)buf_text(text); *c && *c != '\n'; c++)
        putchar(isprint(*c) ? *c : '?');
    if (text->size)
        putchar('\n');
}

/* Not through a proxy: the variables of one come into containers by themselves. */
int cli_health(struct cli *cli, const char *url, struct err *err)
{
    struct http_client *http = NULL;
    struct http_response response;
    (void)cli;
    if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
        return err_set(err, ERR_INVALID, "URL", "http://HOST:PORT/healthz or https://… is wanted");
    http_response_init(&response, MAX_ANSWER_BYTES);
    int rc = http_client_create(&(struct http_client_options){.total_timeout_ms = ANSWER_MS}, &http,
                                err);
    if (rc == 0)
        rc = http_client_send(http, &(struct http_request){.method = HTTP_GET, .url = url},
                              &response, err);
    print_line(&response.body);
    http_response_fini(&response);
    http_client_destroy(&http);
    return rc;
}
