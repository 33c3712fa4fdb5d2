/* SPDX-License-Identifier: MIT
 *
 * One file over HTTP into an open descriptor, however often the connection is cut.
 *
 *     struct weights_download download = {.url = url, .fd = fd, .patience_ms = 300000};
 *     rc = weights_download(&download, &err);
 *
 * It goes on behind what the descriptor has already (Range, RFC 9110, 14.2), and begins again where
 * the server gives whole files only; whether what was there belongs to what came is for a checksum
 * to tell. Whatever fails is tried again, ever more rarely, until nothing more has come for
 * `patience_ms`. TLS is verified, five redirects are followed, proxies of the environment are used.
 * One thread. */
#ifndef DARKROOM_WORKER_WEIGHTS_DOWNLOAD_H
#define DARKROOM_WORKER_WEIGHTS_DOWNLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

struct weights_download {
    const char *name; /* borrowed: whose weights these are, for the log */
    const char *url;  /* borrowed; of http or https */
    int fd;           /* borrowed: readable and writable, belongs to us alone */
    int64_t patience_ms;
    const atomic_bool *stop; /* borrowed; NULL: nobody ends it */
    bool resumed;            /* out: not all of it came in one piece */
};

/* A text for logs and errors: no query, where a signature may stand; at most `size`. */
void weights_download_place(const char *url, char *out, int size);

/* ERR_CANCELLED (stopped), ERR_IO (the disk), or the last attempt's code as http_client.h has them:
 * ERR_NOT_FOUND, ERR_DENIED, ERR_TIMEOUT, ERR_UNAVAILABLE … */
int weights_download(struct weights_download *download, struct err *err);

/* Sleeps in small pieces; false once it is to stop. */
bool weights_download_pause(const atomic_bool *stop, int64_t ms);

#endif
