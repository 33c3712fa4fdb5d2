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
