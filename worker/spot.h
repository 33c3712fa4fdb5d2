/* SPDX-License-Identifier: MIT
 *
 * Watches for the notice that this machine is about to be taken away.
 *
 *     rc = spot_start(&options, &spot, &err);
 *     ... epoll on spot_fd(spot); then spot_take(spot) says SPOT_SOON or SPOT_NOW ...
 *     spot_quiet(spot);               // nobody wants to know any more
 *     spot_end(&spot, acknowledge);   // joins
 *
 * The watching has a thread of its own, so a metadata service that hangs delays nothing but itself.
 * Only an answer that is a notice to the letter counts as one: a page of HTML, a status that was
 * not expected, a timeout, an answer without end are logged once and asked again. Missing a notice
 * costs a lease; believing in a false one costs a machine.
 *
 * spot_take(), spot_quiet() and spot_end() belong to the thread that called spot_start(). */
#ifndef DARKROOM_WORKER_SPOT_H
#define DARKROOM_WORKER_SPOT_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct spot;

enum spot_kind { SPOT_OFF, SPOT_AWS, SPOT_GCP, SPOT_AZURE, SPOT_FILE, SPOT_COMMAND };

/* Each outweighs those before it. */
enum spot_notice {
    SPOT_NONE,
    SPOT_SOON, /* it may be taken away: begin nothing new (AWS: rebalance recommendation) */
    SPOT_NOW   /* it will be */
};

/* "aws", "gcp", "azure", "file", "command", "off". ERR_INVALID. */
int spot_kind_parse(const char *text, enum spot_kind *out_kind, struct err *err);

/* Texts are borrowed until spot_end(). */
struct spot_options {
    enum spot_kind kind;
    const char *endpoint; /* of the clouds: http://169.254.169.254, without a slash at its end */
    const char *file;     /* SPOT_FILE: a notice once it is there */
    const char *command;  /* SPOT_COMMAND: for /bin/sh; status 0 is a notice, 1 is none */
    int64_t poll_ms;
    bool rebalance; /* AWS: recommendations count */
};

/* SPOT_OFF gives NULL, on which everything below is harmless. ERR_IO (no thread), ERR_NOMEM. */
int spot_start(const struct spot_options *options, struct spot **out_spot, struct err *err);

/* Readable (epoll) when there is news, until spot_take(); -1 on NULL. */
int spot_fd(const struct spot *spot);
enum spot_notice spot_take(struct spot *spot);

/* Ends the watching without waiting for it. */
void spot_quiet(struct spot *spot);

/* Waits for the thread, a second at most. `acknowledge`: nothing of ours runs on this machine any
 * more, so a cloud that asks for it (Azure) is told not to wait. */
void spot_end(struct spot **spot, bool acknowledge);

#endif
