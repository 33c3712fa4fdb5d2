/* SPDX-License-Identifier: MIT */
#include "common/mail_ledger.h"

#include "common/err.h"
#include "common/queue_scripts.h"
#include "common/redis.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "{k}"
#define COMMAND_MAX 8192

static const char *const names[MAIL_EVENT_COUNT] = {
    [MAIL_EVENT_SENT] = "sent",       [MAIL_EVENT_4XX] = "refused_4xx",
    [MAIL_EVENT_5XX] = "refused_5xx", [MAIL_EVENT_CONNECTION] = "connection",
    [MAIL_EVENT_OTHER] = "other",     [MAIL_EVENT_GIVEN_UP] = "given_up",
    [MAIL_EVENT_LIMITED] = "limited", [MAIL_EVENT_UNWANTED] = "unwanted",
    [MAIL_EVENT_HELD] = "held",
};

const char *mail_event_name(enum mail_event event)
{
    return names[event];
}

static void begin(struct redis_command *command, const struct redis_script *script)
{
    redis_command_clear(command);
    redis_command_script(command, script, PREFIX);
}

static int bad_reply(const char *verb, struct err *err)
{
    return err_set(err, ERR_INTERNAL, "redis", "the reply to %s is not what the protocol says",
                   verb);
}

/* ---- for the notifier ------------------------------------------------------------------------ */

int mail_ledger_take(struct redis *redis, const struct mail_asked *asked, int64_t timeout_ms,
                     struct mail_answer *out, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, COMMAND_MAX);
    begin(&command, &queue_script_mail_take);
    redis_command_text(&command, asked->address);
    redis_command_text(&command, asked->unsubscribe);
    redis_command_text(&command, asked->notify_id);
    redis_command_int(&command, asked->per_address_hour);
    redis_command_int(&command, asked->quota_hour);
    redis_command_int(&command, asked->quota_day);
    int rc = redis_call(redis, &command, timeout_ms, &reply, err);
    redis_command_fini(&command);
    int64_t verdict = redis_reply_int(redis_reply_at(reply, 0));
    if (rc == 0 && (redis_reply_count(reply) != 3 || verdict < MAIL_MAY_GO || verdict > MAIL_HELD))
        rc = bad_reply("mail_take", err);
    if (rc == 0)
        *out = (struct mail_answer){(enum mail_verdict)verdict,
                                    redis_reply_int(redis_reply_at(reply, 1)),
                                    redis_reply_int(redis_reply_at(reply, 2))};
    redis_reply_free(&reply);
    return rc;
}

int mail_ledger_done(struct redis *redis, const struct mail_done *done, int64_t timeout_ms,
                     struct err *err)
{
    struct redis_command command;
    char reason[sizeof((struct mail_state *)NULL)->reason];
    snprintf(reason, sizeof reason, "%s", done->reason ? done->reason : "");
    redis_command_init(&command, COMMAND_MAX);
    begin(&command, &queue_script_mail_done);
    redis_command_text(&command, names[done->event]);
    redis_command_int(&command, done->taken_ms);
    redis_command_int(&command, done->hold_ms);
    redis_command_text(&command, reason);
    int rc = redis_call(redis, &command, timeout_ms, NULL, err);
    redis_command_fini(&command);
    return rc;
}

/* ---- for the dispatcher ---------------------------------------------------------------------- */

void mail_ledger_state_command(struct redis_command *command)
{
    begin(command, &queue_script_mail_state);
    for (int i = 0; i < MAIL_EVENT_COUNT; i++)
        redis_command_text(command, names[i]);
}

int mail_ledger_state_reply(const struct redis_reply *reply, struct mail_state *out,
                            struct err *err)
{
    struct mail_state state = {0};
    if (redis_reply_count(reply) != 4 + MAIL_EVENT_COUNT)
        return bad_reply("mail_state", err);
    state.held_ms = redis_reply_int(redis_reply_at(reply, 0));
    state.unwanted = redis_reply_int(redis_reply_at(reply, 1));
    snprintf(state.reason, sizeof state.reason, "%s", redis_reply_text(redis_reply_at(reply, 2)));
    state.reason_ms = redis_reply_int(redis_reply_at(reply, 3));
    for (size_t i = 0; i < MAIL_EVENT_COUNT; i++)
        state.counts[i] = redis_reply_int(redis_reply_at(reply, 4 + i));
    *out = state;
    return 0;
}

void mail_ledger_unwanted_command(const char *id, struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "ZSCORE");
    redis_command_text(command, PREFIX "unwanted");
    redis_command_text(command, id);
}

bool mail_ledger_unwanted_reply(const struct redis_reply *reply)
{
    return redis_reply_type(reply) == REDIS_TEXT;
}

void mail_ledger_want_command(const char *id, bool wanted, int64_t now_ms,
                              struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, wanted ? "ZREM" : "ZADD");
    redis_command_text(command, PREFIX "unwanted");
    if (!wanted) {
        redis_command_text(command, "NX");
        redis_command_int(command, now_ms);
    }
    redis_command_text(command, id);
}

void mail_ledger_forget_command(const char *address, struct redis_command *command)
{
    char key[128];
    snprintf(key, sizeof key, PREFIX "mailto:%s", address);
    redis_command_clear(command);
    redis_command_text(command, "DEL");
    redis_command_text(command, key);
}

/* ---- fsck ------------------------------------------------------------------------------------ */

/* A plain command of up to three words; *out_reply is owned by the caller. */
static int ask(struct redis *redis, int64_t timeout_ms, const char *verb, const char *key,
               const char *rest, struct redis_reply **out_reply, struct err *err)
{
    struct redis_command command;
    redis_command_init(&command, COMMAND_MAX);
    redis_command_clear(&command);
    redis_command_text(&command, verb);
    redis_command_text(&command, key);
    if (rest)
        redis_command_text(&command, rest);
    int rc = redis_call(redis, &command, timeout_ms, out_reply, err);
    redis_command_fini(&command);
    return rc;
}

int mail_ledger_fsck(struct redis *redis, bool mend, int64_t timeout_ms, mail_ledger_fsck_fn *each,
                     void *data, struct err *err)
{
    static const char *const keys[][3] = {{PREFIX "unwanted", "zset", PREFIX "bad:unwanted"},
                                          {PREFIX "mails", "hash", PREFIX "bad:mails"},
                                          {PREFIX "mailhold", "string", PREFIX "bad:mailhold"}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        struct redis_reply *reply = NULL;
        char what[96] = "";
        rc = ask(redis, timeout_ms, "TYPE", keys[i][0], NULL, &reply, err);
        const char *type = redis_reply_text(reply);
        if (rc == 0 && strcmp(type, "none") && strcmp(type, keys[i][1]))
            snprintf(what, sizeof what, "a %.20s, expected a %s", type, keys[i][1]);
        redis_reply_free(&reply);
        if (rc == 0 && i == 2 && !what[0]) {
            rc = ask(redis, timeout_ms, "PTTL", keys[i][0], NULL, &reply, err);
            if (rc == 0 && redis_reply_int(reply) == -1)
                snprintf(what, sizeof what, "no mail goes out, and it has no end");
            redis_reply_free(&reply);
        }
        if (rc < 0 || !what[0])
            continue;
        if (mend)
            rc = ask(redis, timeout_ms, "RENAME", keys[i][0], keys[i][2], NULL, err);
        if (rc == 0 && each)
            each(keys[i][0], what, mend, data);
    }
    return rc;
}
