/* SPDX-License-Identifier: MIT
 *
 * One job for each idempotency key of a flow.
 *
 *     queue_idem_reserve_command(&queue, flow, &idem, public_id, 30000, &command);   // before the
 *     rc = queue_idem_reserve_reply(reply, &found, &err);                            // upload
 *     queue_idem_line(&idem, line);                  // into the extra of struct queue_submit
 *     queue_submit_idem(reply, index, &found);       // after ERR_CONFLICT of queue_submit_reply()
 *
 * The submit script alone decides, in one step with the job's record: the reservation only spares
 * the second upload and lets a second request know at once. A reservation that ran out, or was
 * never made, costs nothing but that. Keys are kept for a day. Conventions as in queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_IDEM_H
#define DARKROOM_COMMON_QUEUE_IDEM_H

#include "common/id.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct queue;
struct redis_command;
struct redis_reply;

#define QUEUE_IDEM_HASH_SIZE 33 /* 128 bits in hex, and the zero */

struct queue_idem {
    char key[QUEUE_IDEM_HASH_SIZE];  /* hash of what the client sent */
    char body[QUEUE_IDEM_HASH_SIZE]; /* hash of what it asks for */
};

enum queue_idem_state {
    QUEUE_IDEM_FREE,       /* nobody else has it */
    QUEUE_IDEM_IN_FLIGHT,  /* another request prepares the job */
    QUEUE_IDEM_OTHER_BODY, /* it stands for something else */
    QUEUE_IDEM_DONE        /* there is the job */
};

struct queue_idem_found {
    enum queue_idem_state state;
    char public_id[ID_PUBLIC_SIZE]; /* DONE */
};

/* The first 128 bits of SHA-256 in hex. */
int queue_idem_hash(const void *data, size_t size, char out[QUEUE_IDEM_HASH_SIZE]);

/* "i=<key>:<body>\n" */
#define QUEUE_IDEM_LINE_SIZE 69
void queue_idem_line(const struct queue_idem *idem, char out[QUEUE_IDEM_LINE_SIZE]);

void queue_idem_reserve_command(const struct queue *queue, const char *flow,
                                const struct queue_idem *idem, const char *public_id,
                                int64_t prepare_ms, struct redis_command *command);
/* ERR_CORRUPT: the key holds something that is not ours. */
int queue_idem_reserve_reply(const struct redis_reply *reply, struct queue_idem_found *out,
                             struct err *err);

/* The job that this id was reserved for will not be. Reply of no interest. */
void queue_idem_release_command(const struct queue *queue, const char *flow,
                                const struct queue_idem *idem, const char *public_id,
                                struct redis_command *command);

/* What stood in the way of job `index` of a submit. */
void queue_submit_idem(const struct redis_reply *reply, size_t index, struct queue_idem_found *out);

#endif
