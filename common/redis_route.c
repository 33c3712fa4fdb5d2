/* SPDX-License-Identifier: MIT */
#include "common/redis_route.h"

#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- slots ---- */

/* CRC-16/XMODEM, as the cluster specification names it. */
static uint16_t crc16(const unsigned char *data, size_t size)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc = (uint16_t)(crc ^ data[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

/* Only what is between the first brace and the next closing one counts, unless that is nothing. */
int redis_key_slot(const void *key, size_t size)
{
    const unsigned char *start = key;
    const unsigned char *open = memchr(start, '{', size);
    const unsigned char *close = open ? memchr(open, '}', size - (size_t)(open - start)) : NULL;
    if (close && close > open + 1)
        return crc16(open + 1, (size_t)(close - open - 1)) % REDIS_SLOTS;
    return crc16(start, size) % REDIS_SLOTS;
}

/* ---- addresses ---- */

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static bool is_host(const char *text, size_t size)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%";
    return size > 0 && size < sizeof((struct redis_address *)NULL)->host &&
           strspn(text, allowed) >= size;
}

/* A server that does not know its own name says nothing, or "?". */
static int set_address(const char *host, size_t host_size, int64_t port, const char *asked_host,
                       struct redis_address *out)
{
    if (host_size == 0 || (host_size == 1 && host[0] == '?')) {
        host = asked_host;
        host_size = strlen(asked_host);
    }
    if (!is_host(host, host_size) || port < 1 || port > 65535)
        return ERR_CORRUPT;
    *out = (struct redis_address){.port = (int)port};
    memcpy(out->host, host, host_size);
    return 0;
}

void redis_target_of_node(const struct redis_target *target, const struct redis_address *address,
                          struct redis_target *out)
{
    *out = *target;
    out->kind = REDIS_ONE;
    out->seed_count = 0;
    out->node = *address;
    out->master_only = target->kind == REDIS_SENTINEL;
}

void redis_target_of_sentinel(const struct redis_target *target, size_t index,
                              struct redis_target *out)
{
    *out = (struct redis_target){.kind = REDIS_ONE,
                                 .node = target->seeds[index],
                                 .secure = target->secure,
                                 .files = target->files,
                                 .tls = target->tls};
}

/* ---- clusters ---- */

static int bad_topology(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "redis", "CLUSTER SLOTS answered something else than slots");
}

/* Finds or adds a node; ERR_CORRUPT, ERR_NOMEM. */
static int add_node(struct redis_topology *topology, const struct redis_reply *node,
                    const char *asked_host, size_t *out_index)
{
    struct redis_address address;
    const struct redis_reply *host = redis_reply_at(node, 0);
    if (set_address(redis_reply_text(host), redis_reply_size(host),
                    redis_reply_int(redis_reply_at(node, 1)), asked_host, &address) < 0)
        return ERR_CORRUPT;
    for (size_t i = 0; i < topology->node_count; i++) {
        if (redis_address_equal(&topology->nodes[i], &address)) {
            *out_index = i;
            return 0;
        }
    }
    if (topology->node_count == REDIS_NODES_MAX)
        return ERR_CORRUPT;
    struct redis_address *more =
        realloc(topology->nodes, (topology->node_count + 1) * sizeof *more);
    if (!more)
        return ERR_NOMEM;
    topology->nodes = more;
    *out_index = topology->node_count;
    more[topology->node_count++] = address;
    return 0;
}

/* {first, last, master, replicas…}, a node is {host, port, …} */
static int add_range(struct redis_topology *topology, const struct redis_reply *entry,
                     const char *asked_host)
{
    int64_t first = redis_reply_int(redis_reply_at(entry, 0));
    int64_t last = redis_reply_int(redis_reply_at(entry, 1));
    size_t node = 0, replica;
    if (redis_reply_count(entry) < 3 || first < 0 || last < first || last >= REDIS_SLOTS)
        return ERR_CORRUPT;
    int rc = add_node(topology, redis_reply_at(entry, 2), asked_host, &node);
    for (size_t i = 3; rc == 0 && i < redis_reply_count(entry); i++)
        rc = add_node(topology, redis_reply_at(entry, i), asked_host, &replica);
    if (rc == 0)
        topology->ranges[topology->range_count++] =
            (struct redis_range){.first = (int)first, .last = (int)last, .node = node};
    return rc;
}

int redis_topology_parse(const struct redis_reply *reply, const char *asked_host,
                         struct redis_topology *out, struct err *err)
{
    struct redis_topology topology = {0};
    size_t count = redis_reply_count(reply);
    if (redis_reply_type(reply) != REDIS_ARRAY || count > REDIS_SLOTS)
        return bad_topology(err);
    topology.ranges = calloc(count + 1, sizeof *topology.ranges);
    int rc = topology.ranges ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_range(&topology, redis_reply_at(reply, i), asked_host);
    if (rc < 0) {
        redis_topology_fini(&topology);
        return rc == ERR_CORRUPT ? bad_topology(err)
                                 : err_set(err, rc, NULL, "no memory for a cluster's slots");
    }
    redis_topology_fini(out);
    *out = topology;
    return 0;
}

void redis_topology_fini(struct redis_topology *topology)
{
    free(topology->ranges);
    free(topology->nodes);
    *topology = (struct redis_topology){0};
}

const struct redis_address *redis_topology_find(const struct redis_topology *topology, int slot)
{
    for (size_t i = 0; i < topology->range_count; i++) {
        const struct redis_range *range = &topology->ranges[i];
        if (slot >= range->first && slot <= range->last)
            return &topology->nodes[range->node];
    }
    return NULL;
}

/* `MOVED 3999 127.0.0.1:6381`; the last colon is the port's, whatever the host looks like. */
static int parse_place(const char *text, const char *asked_host, struct redis_address *out)
{
    const char *place = strchr(text, ' ');
    place = place ? strchr(place + 1, ' ') : NULL;
    const char *colon = place ? strrchr(place, ':') : NULL;
    if (!colon)
        return ERR_CORRUPT;
    return set_address(place + 1, (size_t)(colon - place - 1), strtol(colon + 1, NULL, 10),
                       asked_host, out);
}

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

enum redis_redirect redis_redirect_parse(const struct redis_reply *reply, const char *asked_host,
                                         struct redis_address *out_address)
{
    const char *text = redis_reply_text(reply);
    if (redis_reply_type(reply) != REDIS_ERROR)
        return REDIS_STAY;
    if (begins(text, "TRYAGAIN") || begins(text, "CLUSTERDOWN"))
        return REDIS_LATER;
    if (begins(text, "MOVED "))
        return parse_place(text, asked_host, out_address) == 0 ? REDIS_MOVED : REDIS_STAY;
    if (begins(text, "ASK "))
        return parse_place(text, asked_host, out_address) == 0 ? REDIS_ASK : REDIS_STAY;
    return REDIS_STAY;
}

/* ---- sentinels ---- */

void redis_sentinel_command(const struct redis_target *target, struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "SENTINEL");
    redis_command_text(command, "MASTER");
    redis_command_text(command, target->master);
}

/* The text behind a name in a flat list of names and values; NULL where it is missing. */
static const struct redis_reply *value_of(const struct redis_reply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
        if (strcmp(redis_reply_text(redis_reply_at(reply, i)), name) == 0)
            return redis_reply_at(reply, i + 1);
    return NULL;
}

int redis_sentinel_parse(const struct redis_reply *reply, struct redis_address *out_address,
                         int64_t *out_epoch, struct err *err)
{
    const struct redis_reply *host = value_of(reply, "ip");
    if (set_address(redis_reply_text(host), redis_reply_size(host),
                    redis_reply_int(value_of(reply, "port")), "", out_address) < 0)
        return err_set(err, ERR_CORRUPT, "redis", "SENTINEL MASTER names no ip and port");
    *out_epoch = redis_reply_int(value_of(reply, "config-epoch"));
    return 0;
}
