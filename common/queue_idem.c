/* SPDX-License-Identifier: MIT */
#include "common/queue_idem.h"

#include "common/crypto.h"
#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <stdio.h>
#include <string.h>

int queue_idem_hash(const void *data, size_t size, char out[QUEUE_IDEM_HASH_SIZE])
{
    char hash[CRYPTO_SHA256_HEX_SIZE];
    int rc = crypto_sha256_hex(data, size, hash);
    if (rc == 0)
        snprintf(out, QUEUE_IDEM_HASH_SIZE, "%.32s", hash);
    return rc;
}

void queue_idem_line(const struct queue_idem *idem, char out[QUEUE_IDEM_LINE_SIZE])
{
    snprintf(out, QUEUE_IDEM_LINE_SIZE, "i=%s:%s\n", idem->key, idem->body);
}

static void begin(const struct queue *queue, const struct redis_script *script, const char *flow,
                  const struct queue_idem *idem, const char *public_id,
                  struct redis_command *command)
{
    queue_begin(queue, command, script);
    redis_command_text(command, flow);
    redis_command_text(command, idem->key);
    redis_command_text(command, idem->body);
    redis_command_text(command, public_id);
}

void queue_idem_reserve_command(const struct queue *queue, const char *flow,
                                const struct queue_idem *idem, const char *public_id,
                                int64_t prepare_ms, struct redis_command *command)
{
    begin(queue, &queue_script_idem_reserve, flow, idem, public_id, command);
    redis_command_int(command, prepare_ms);
}

void queue_idem_release_command(const struct queue *queue, const char *flow,
                                const struct queue_idem *idem, const char *public_id,
                                struct redis_command *command)
{
    begin(queue, &queue_script_idem_release, flow, idem, public_id, command);
}

/* The statuses of idem.lua. */
static int read_status(int64_t status, const struct redis_reply *public_id,
                       struct queue_idem_found *out, struct err *err)
{
    struct queue_idem_found found = {.state = QUEUE_IDEM_FREE};
    switch (status) {
    case 0: break;
    case 8: found.state = QUEUE_IDEM_IN_FLIGHT; break;
    case 9: found.state = QUEUE_IDEM_OTHER_BODY; break;
    case 10:
        found.state = QUEUE_IDEM_DONE;
        if (queue_copy(found.public_id, sizeof found.public_id, public_id) < 0 ||
            !id_public_valid(found.public_id))
            return queue_bad_reply("idem", err);
        break;
    case 12:
        return err_set(err, ERR_CORRUPT, "redis",
                       "idem:…: expected a letter R or D, a public id and 32 hex digits");
    default: return queue_bad_reply("idem", err);
    }
    *out = found;
    return 0;
}

int queue_idem_reserve_reply(const struct redis_reply *reply, struct queue_idem_found *out,
                             struct err *err)
{
    return read_status(redis_reply_int(redis_reply_at(reply, 0)), redis_reply_at(reply, 1), out,
                       err);
}

void queue_submit_idem(const struct redis_reply *reply, size_t index, struct queue_idem_found *out)
{
    const struct redis_reply *fields = redis_reply_at(reply, index);
    out->state = QUEUE_IDEM_FREE;
    read_status(redis_reply_int(redis_reply_at(fields, 0)), redis_reply_at(fields, 5), out, NULL);
}
