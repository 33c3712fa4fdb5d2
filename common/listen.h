/* SPDX-License-Identifier: MIT
 *
 * A listening TCP socket from "host:port". Main thread, at the start. */
#ifndef DARKROOM_COMMON_LISTEN_H
#define DARKROOM_COMMON_LISTEN_H

#include <stdint.h>

struct err;

/* `option` is the field of errors. `address`: "127.0.0.1:8080", "[::1]:8080", "localhost:8080";
 * port 0 takes any free one. The socket is non-blocking and owned by the caller. ERR_INVALID,
 * ERR_IO (in use, not permitted). */
int listen_open(const char *option, const char *address, int *out_fd, uint16_t *out_port,
                struct err *err);

#endif
