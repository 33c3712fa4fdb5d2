/* SPDX-License-Identifier: MIT
 *
 * The packed record of a job (layout: common/lua/record.lua) and what all verbs of the queue
 * share. Only common/queue*.c and tests include this. */
#ifndef DARKROOM_COMMON_QUEUE_RECORD_H
#define DARKROOM_COMMON_QUEUE_RECORD_H

#include "common/queue.h"
#include "common/redis.h"

#define QUEUE_RECORD_VERSION '2'
#define QUEUE_RECORD_HEAD 64
#define QUEUE_FAR_MS                                                                               \
    4000000000000000 /* record.lua: the due time of what waits for others lies beyond */

/* Reads a record into `out`: everything but position, ETA, due time and event id. The first bytes
 * are taken from `head` instead as far as it reaches (head_size up to QUEUE_RECORD_HEAD). out->spec
 * is borrowed from `data`. ERR_CORRUPT says which key and what was expected. */
int queue_record_parse(uint64_t id, unsigned shard, const void *data, size_t size, const void *head,
                       size_t head_size, struct queue_job *out, struct err *err);

/* The content type that a result of this extension has unless its record says another. */
const char *queue_usual_type(const char *extension);
#define QUEUE_RESULT_PLACE_MAX 1099511627775 /* a size beyond fits no place: record.lua */

struct buf;

/* Packs a job that is to be submitted: created, updated and place are left zero for the script. The
 * job has passed queue_submit_check(). ERR_NOMEM, ERR_LIMIT. */
int queue_record_pack(const struct queue_submit *job, int64_t charge_ms, struct buf *out);

/* "{q:00}" */
#define QUEUE_PREFIX_SIZE 8
void queue_prefix(const struct queue *queue, char out[QUEUE_PREFIX_SIZE]);

/* Clears `command` and begins a call of `script` with the shard's prefix as its only key. */
void queue_begin(const struct queue *queue, struct redis_command *command,
                 const struct redis_script *script);
/* A plain command whose next argument is the key `<prefix><name><rest>`. */
void queue_add_key(const struct queue *queue, struct redis_command *command, const char *name,
                   const char *rest);
/* The 12 hex digits under which a job is known to the scripts. */
void queue_add_id(struct redis_command *command, uint64_t id);
int queue_parse_id(const struct redis_reply *reply, uint64_t *out_id);

/* Copies a text reply; ERR_INTERNAL where it does not fit. */
int queue_copy(char *out, size_t size, const struct redis_reply *reply);

/* "the reply to <verb> is not what the protocol says" */
int queue_bad_reply(const char *verb, struct err *err);

/* Runs a built command; *out_reply is owned by the caller. Frees the command. */
int queue_run(struct redis *redis, struct redis_command *command, int64_t timeout_ms,
              struct redis_reply **out_reply, struct err *err);

#endif
