/* SPDX-License-Identifier: MIT
 *
 * Who takes a message over for good: a mail server, or a folder that stands where one would.
 *
 *     struct courier courier = courier_smtp(smtp);
 *     rc = courier.deliver(courier.context, id, from, to, message, size, &delivery, &err);
 *
 * By err_action() of the code it is tried again later or refused for good. Belongs to one
 * thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_COURIER_H
#define DARKROOM_DISPATCHER_NOTIFIER_COURIER_H

#include "common/mail_ledger.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct smtp;

struct courier_delivery {
    enum mail_event event;
    bool everyone; /* any other mail would have failed as well: server away */
    bool quota;    /* no more is taken from us for now */
};

struct courier {
    int (*deliver)(void *context, const char *id, const char *from, const char *to,
                   const void *message, size_t size, struct courier_delivery *out, struct err *err);
    void *context;
};

/* Writes messages as <id>.eml into `folder` (borrowed), each complete or not at all. */
struct courier courier_folder(const char *folder);

/* Hands messages to a mail server; `smtp` is borrowed. */
struct courier courier_smtp(struct smtp *smtp);

#endif
