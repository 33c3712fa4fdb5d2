/* SPDX-License-Identifier: MIT
 *
 * SIGHUP: what of the notifier's options may change while it runs. All is made and checked beside
 * what is in force, and only then takes its place.
 *
 *     rc = notifier_open_smtp(&settings, &smtp, &err);
 *     if (reload_take())
 *         notifier_reload(&(struct notifier_running){...});
 *
 * Between two mails: the thread that sends them, which is the main one. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_RELOAD_H
#define DARKROOM_DISPATCHER_NOTIFIER_RELOAD_H

#include "dispatcher/notifier/settings.h"

struct courier;
struct err;
struct hook_sender;
struct mail_sender;
struct manifest_set;
struct notify;
struct smtp;

/* A connection to the mail server that the settings name; made, not opened yet. Owned by the
 * caller.
 */
int notifier_open_smtp(const struct notifier_settings *settings, struct smtp **out,
                       struct err *err);

/* All borrowed. What they point to is exchanged. */
struct notifier_running {
    int argc; /* where the settings come from */
    char **argv;
    struct notifier_settings *settings;
    struct mail_sender *sender;
    struct manifest_set *models;
    struct smtp **smtp; /* NULL behind it: mails go to a folder */
    struct courier *courier;
    struct notify *notify;
    struct hook_sender *hooks;
};

void notifier_reload(const struct notifier_running *running);

#endif
