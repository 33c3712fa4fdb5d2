/* SPDX-License-Identifier: MIT
 *
 * What all notifiers know together about mails: who wants none, how many an address may still get,
 * how many may go out at all, and what became of them.
 *
 *     mail_ledger_take(redis, &asked, timeout_ms, &answer, &err);     // before a mail is sent
 *     … send, if answer.verdict is MAIL_MAY_GO …
 *     mail_ledger_done(redis, &done, timeout_ms, &err);               // always, after a try
 *
 *     mail_ledger_state_command(&command);                            // the dispatchers look
 *     rc = mail_ledger_state_reply(reply, &state, &err);
 *
 * The keys are under the hash tag `{k}`, so that all shards share them; docs/protocol.md is the
 * contract. Conventions as in queue.h. Any thread. */
#ifndef DARKROOM_COMMON_MAIL_LEDGER_H
#define DARKROOM_COMMON_MAIL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct redis;
struct redis_command;
struct redis_reply;

/* ---- for the notifier ------------------------------------------------------------------------ */

struct mail_asked {
    const char *address;     /* keyed hash (address.h) */
    const char *unsubscribe; /* unsubscribe_id() of it */
    const char *notify_id;
    int64_t per_address_hour;
    int64_t quota_hour, quota_day; /* of all mails; 0: no limit */
};

enum mail_verdict {
    MAIL_MAY_GO,
    MAIL_UNWANTED, /* its address has unsubscribed */
    MAIL_LIMITED,  /* its address has had its mails of this hour */
    MAIL_HELD      /* no mail goes out now */
};

struct mail_answer {
    enum mail_verdict verdict;
    int64_t wait_ms;  /* of LIMITED and HELD: until it may be asked again */
    int64_t taken_ms; /* of MAY_GO: for mail_ledger_done() */
};

int mail_ledger_take(struct redis *redis, const struct mail_asked *asked, int64_t timeout_ms,
                     struct mail_answer *out, struct err *err);

/* What came of a mail; also the counters' order in struct mail_state. */
enum mail_event {
    MAIL_EVENT_SENT,
    MAIL_EVENT_4XX,        /* the server said: not now */
    MAIL_EVENT_5XX,        /* the server said: never; or what is our configuration's fault */
    MAIL_EVENT_CONNECTION, /* no server, no answer, no TLS */
    MAIL_EVENT_OTHER,      /* ours: an address that does not open, a full disk */
    MAIL_EVENT_GIVEN_UP,   /* counted besides, when no more is tried */
    MAIL_EVENT_LIMITED,
    MAIL_EVENT_UNWANTED,
    MAIL_EVENT_HELD, /* counted by Redis: how often mails were stopped */
    MAIL_EVENT_COUNT
};
/* As metrics and JSON call it. */
const char *mail_event_name(enum mail_event event);

struct mail_done {
    enum mail_event event;
    int64_t taken_ms;   /* 0: it was not let through */
    int64_t hold_ms;    /* no mail is to go out for so long; 0: none of that */
    const char *reason; /* one line without addresses, up to 256 bytes; or NULL */
};
int mail_ledger_done(struct redis *redis, const struct mail_done *done, int64_t timeout_ms,
                     struct err *err);

/* ---- for the dispatcher ---------------------------------------------------------------------- */

struct mail_state {
    int64_t held_ms;  /* no mail goes out for so long; 0: they do */
    int64_t unwanted; /* addresses */
    int64_t counts[MAIL_EVENT_COUNT];
    char reason[257]; /* of the last mail that could not be sent; "" none */
    int64_t reason_ms;
};
void mail_ledger_state_command(struct redis_command *command);
int mail_ledger_state_reply(const struct redis_reply *reply, struct mail_state *out,
                            struct err *err);

/* Does the address of this unsubscribe_id() want no mails? */
void mail_ledger_unwanted_command(const char *id, struct redis_command *command);
bool mail_ledger_unwanted_reply(const struct redis_reply *reply);
/* Now it does, or does not. Harmless when repeated. */
void mail_ledger_want_command(const char *id, bool wanted, int64_t now_ms,
                              struct redis_command *command);

/* For darkroom fsck: keys of another type than they should have, or a pause without an end, would
 * stop all mails. `each` (nullable) is told of each; mending renames them to {k}bad:…. */
typedef void mail_ledger_fsck_fn(const char *name, const char *what, bool mended, void *data);
int mail_ledger_fsck(struct redis *redis, bool mend, int64_t timeout_ms, mail_ledger_fsck_fn *each,
                     void *data, struct err *err);

/* Forgets how many mails an address got. */
void mail_ledger_forget_command(const char *address, struct redis_command *command);

#endif
