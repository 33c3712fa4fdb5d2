/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/courier.h"

#include "common/err.h"
#include "common/file.h"
#include "common/smtp.h"

#include <assert.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

static int deliver_to_folder(void *context, const char *id, const char *from, const char *to,
                             const void *message, size_t size, struct courier_delivery *out,
                             struct err *err)
{
    const char *folder = context;
    char path[PATH_MAX];
    (void)from;
    (void)to;
    assert(!strchr(id, '/')); /* mail_compose() has checked it */
    /* A full disk is nobody's fault; the same name on a retry leaves one file. */
    *out = (struct courier_delivery){.event = MAIL_EVENT_OTHER, .everyone = true};
    if ((size_t)snprintf(path, sizeof path, "%s/%s.eml", folder, id) >= sizeof path)
        return err_set(err, ERR_UNAVAILABLE, "outbox", "the path of the outbox is too long");
    int rc = file_write(path, message, size, 0600, err);
    if (rc == 0)
        *out = (struct courier_delivery){.event = MAIL_EVENT_SENT};
    return rc;
}

struct courier courier_folder(const char *folder)
{
    return (struct courier){deliver_to_folder, (void *)(uintptr_t)folder};
}

static enum mail_event event_of(int rc, const struct smtp_outcome *outcome)
{
    if (rc == 0)
        return MAIL_EVENT_SENT;
    if (outcome->reply >= 400)
        return outcome->reply >= 500 ? MAIL_EVENT_5XX : MAIL_EVENT_4XX;
    return MAIL_EVENT_CONNECTION;
}

static int deliver_to_server(void *context, const char *id, const char *from, const char *to,
                             const void *message, size_t size, struct courier_delivery *out,
                             struct err *err)
{
    struct smtp_outcome outcome;
    (void)id;
    int rc = smtp_send(context, from, to, message, size, &outcome, err);
    *out = (struct courier_delivery){
        .event = event_of(rc, &outcome),
        .everyone = rc < 0 && rc != ERR_INVALID && outcome.stage < SMTP_RECIPIENT,
        .quota = rc < 0 && outcome.quota,
    };
    return rc;
}

struct courier courier_smtp(struct smtp *smtp)
{
    return (struct courier){deliver_to_server, smtp};
}
