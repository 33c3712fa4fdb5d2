/* SPDX-License-Identifier: MIT
 *
 * Where commands go: what clusters and sentinels answer, as values. Only common/redis*.c and tests
 * include this.
 *
 *     rc = redis_topology_parse(reply, host_that_was_asked, &topology, &err);   // CLUSTER SLOTS
 *     address = redis_topology_find(&topology, command.slot);
 *     switch (redis_redirect_parse(reply, host_that_was_asked, &address)) ...
 *
 * What a server says is bounded and checked like any other input. One thread. */
#ifndef DARKROOM_COMMON_REDIS_ROUTE_H
#define DARKROOM_COMMON_REDIS_ROUTE_H

#include "common/redis.h"

/* Of one cluster: masters and replicas together. */
#define REDIS_NODES_MAX 2048

struct redis_range {
    int first, last; /* slots */
    size_t node;     /* the master */
};

struct redis_topology {
    struct redis_range *ranges; /* owned */
    size_t range_count;
    struct redis_address *nodes; /* owned; replicas too: they know as much about the others */
    size_t node_count;
};

/* A node that does not know its own name is called `asked_host`. ERR_CORRUPT says what is wrong,
 * and then *out is as it was. */
int redis_topology_parse(const struct redis_reply *reply, const char *asked_host,
                         struct redis_topology *out, struct err *err);
void redis_topology_fini(struct redis_topology *topology); /* harmless on {0} */

/* The master of a slot; NULL where nobody serves it. Borrowed. */
const struct redis_address *redis_topology_find(const struct redis_topology *topology, int slot);

enum redis_redirect {
    REDIS_STAY,  /* an answer like any other */
    REDIS_MOVED, /* the slot is at *out_address now, and the topology is out of date */
    REDIS_ASK,   /* this once at *out_address, behind ASKING */
    REDIS_LATER  /* a slot on its way, or a cluster without a majority: again in a while */
};
enum redis_redirect redis_redirect_parse(const struct redis_reply *reply, const char *asked_host,
                                         struct redis_address *out_address);

/* The reply to SENTINEL MASTER. The greater epoch is the newer truth. */
int redis_sentinel_parse(const struct redis_reply *reply, struct redis_address *out_address,
                         int64_t *out_epoch, struct err *err);
void redis_sentinel_command(const struct redis_target *target, struct redis_command *command);

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b);

/* One server of a cluster or behind sentinels, with the same rights. */
void redis_target_of_node(const struct redis_target *target, const struct redis_address *address,
                          struct redis_target *out);
/* A sentinel: without rights. */
void redis_target_of_sentinel(const struct redis_target *target, size_t index,
                              struct redis_target *out);

#endif
