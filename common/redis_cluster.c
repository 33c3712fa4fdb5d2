/* SPDX-License-Identifier: MIT */
#include "common/redis_cluster.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis_link.h"
#include "common/redis_route.h"
#include "common/redis_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS 200       /* between two questions for the map while something is amiss */
#define REFRESH_LIMIT_MS 500 /* for an answer; then another node is asked */
#define MOVED_MS 20          /* between two questions because of MOVED */
/* A master that lets a command wait for so long may have been replaced; one that may keep it
 * waiting on purpose is suspected later. */
#define SILENCE_MS 500
#define BLOCKING_SILENCE_MS 5000
#define BLOCKING_TIMEOUT_MS 10000
#define LATER_MS 20      /* before a command is tried again on TRYAGAIN or CLUSTERDOWN */
#define PATIENCE_MS 2000 /* for a command that no node takes */
#define MAX_REDIRECTS 16
#define UNUSED_MS                                                                                  \
    1000 /* a link that nobody needs is kept for so long, or until it has answered                 \
          */

struct node {
    struct node *next;
    struct redis_link *link; /* owned */
    int64_t needed_ms;       /* when it was last of use */
    bool wanted;             /* serves a slot in use */
};

struct redis_cluster {
    const struct redis_target *target; /* borrowed */
    int epoll_fd;
    int64_t timeout_ms;
    struct redis_topology topology;
    struct node *nodes;              /* owned */
    uint64_t used[REDIS_SLOTS / 64]; /* slots, one bit each */
    struct routed *parked;           /* commands that are to be sent again; owned */
    size_t pending;
    bool stale;                       /* `wanted` has to be found out anew */
    bool refreshing;                  /* the question for the map is under way */
    int64_t refresh_ms, refreshed_ms; /* the next question at the earliest; the last one */
    size_t candidate;                 /* whom to ask when no link is ready, */
    int64_t trying_ms;                /* and since when */
    struct redis_command command;
    char reason[256];
};

/* One command under way. */
struct routed {
    struct routed *next; /* of the parked */
    struct redis_cluster *cluster;
    redis_async_done *done;
    void *data;
    struct redis_command command; /* a copy */
    struct redis_address address; /* where it is or goes to */
    bool addressed;               /* parked for `address` and not for its slot's master */
    bool asking;
    int redirects;
    int64_t retry_ms, give_up_ms; /* while parked */
};

/* ---- nodes ---- */

static struct node *find_node(const struct redis_cluster *cluster,
                              const struct redis_address *address)
{
    struct node *node = cluster->nodes;
    while (node && !redis_address_equal(redis_link_address(node->link), address))
        node = node->next;
    return node;
}

/* Finds or connects; NULL without memory. */
static struct node *get_node(struct redis_cluster *cluster, const struct redis_address *address)
{
    struct redis_target target;
    struct node *node = find_node(cluster, address);
    if (!node && (node = calloc(1, sizeof *node))) {
        redis_target_of_node(cluster->target, address, &target);
        if (redis_link_create(&target, cluster->epoll_fd, NULL, &node->link, NULL) < 0) {
            free(node);
            return NULL;
        }
        redis_link_set_timeout(node->link, cluster->timeout_ms);
        node->next = cluster->nodes;
        cluster->nodes = node;
    }
    if (node)
        node->needed_ms = clock_ms();
    return node;
}

static bool is_used(const struct redis_cluster *cluster, int slot)
{
    return cluster->used[slot / 64] >> (slot % 64) & 1;
}

/* Connects to the masters of all slots in use. */
static void want_nodes(struct redis_cluster *cluster)
{
    cluster->stale = false;
    for (struct node *node = cluster->nodes; node; node = node->next)
        node->wanted = false;
    for (int slot = 0; slot < REDIS_SLOTS; slot++) {
        if (slot % 64 == 0 && cluster->used[slot / 64] == 0) {
            slot += 63;
            continue;
        }
        const struct redis_address *address =
            is_used(cluster, slot) ? redis_topology_find(&cluster->topology, slot) : NULL;
        struct node *node = address ? get_node(cluster, address) : NULL;
        if (node)
            node->wanted = true;
    }
}

static void drop_unwanted(struct redis_cluster *cluster, int64_t now_ms)
{
    struct node **slot = &cluster->nodes;
    while (*slot && cluster->nodes->next) { /* one is always kept, to ask */
        struct node *node = *slot;
        bool busy = redis_link_pending(node->link) > 0 || cluster->refreshing;
        if (node->wanted || now_ms < node->needed_ms + (busy ? UNUSED_MS : REFRESH_MS)) {
            slot = &node->next;
            continue;
        }
        *slot = node->next;
        redis_link_destroy(&node->link);
        free(node);
    }
}

/* ---- the map of slots ---- */

static void refresh_within(struct redis_cluster *cluster, int64_t ms)
{
    int64_t due_ms = cluster->refreshed_ms + ms;
    if (due_ms < cluster->refresh_ms)
        cluster->refresh_ms = due_ms;
}

static void on_slots(int rc, const struct redis_reply *reply, void *data)
{
    struct redis_cluster *cluster = data;
    struct err err = {0};
    cluster->refreshing = false;
    cluster->candidate++; /* the next question goes to another one: this one may be cut off */
    if (!reply)
        return;
    rc = redis_reply_check(reply, &err);
    /* It knows its own name by now, or calls itself what the others call it. */
    if (rc == 0)
        rc = redis_topology_parse(reply, cluster->target->seeds[0].host, &cluster->topology, &err);
    if (rc < 0)
        snprintf(cluster->reason, sizeof cluster->reason, "%s", err.text);
    cluster->stale = true;
}

static bool is_lively(const struct node *node, int64_t now_ms)
{
    return redis_link_ready(node->link) && (redis_link_silent_ms(node->link) > now_ms - SILENCE_MS);
}

/* One that answers, each in its turn; else the next of all that were ever named. */
static struct node *whom_to_ask(struct redis_cluster *cluster, int64_t now_ms)
{
    size_t lively = 0, all = cluster->topology.node_count + cluster->target->seed_count;
    for (struct node *node = cluster->nodes; node; node = node->next)
        lively += is_lively(node, now_ms);
    size_t turn = lively ? cluster->candidate % lively : 0;
    for (struct node *node = cluster->nodes; node; node = node->next)
        if (is_lively(node, now_ms) && turn-- == 0)
            return node;
    size_t which = cluster->candidate % all;
    return get_node(cluster, which < cluster->topology.node_count
                                 ? &cluster->topology.nodes[which]
                                 : &cluster->target->seeds[which - cluster->topology.node_count]);
}

/* Returns when to call again where it could not ask, else INT64_MAX. */
static int64_t refresh(struct redis_cluster *cluster, int64_t now_ms)
{
    if (cluster->refreshing && now_ms < cluster->refreshed_ms + REFRESH_LIMIT_MS)
        return cluster->refreshed_ms + REFRESH_LIMIT_MS;
    struct node *node = whom_to_ask(cluster, now_ms);
    if (!node || !redis_link_ready(node->link)) {
        if (node)
            snprintf(cluster->reason, sizeof cluster->reason, "%s", redis_link_reason(node->link));
        if (now_ms >= cluster->trying_ms + REFRESH_LIMIT_MS) {
            cluster->candidate++;
            cluster->trying_ms = now_ms;
        }
        return cluster->trying_ms + REFRESH_LIMIT_MS;
    }
    redis_command_clear(&cluster->command);
    redis_command_text(&cluster->command, "CLUSTER");
    redis_command_text(&cluster->command, "SLOTS");
    cluster->refreshing = redis_link_send(node->link, &cluster->command, 0, on_slots, cluster) == 0;
    cluster->refreshed_ms = cluster->trying_ms = now_ms;
    cluster->refresh_ms = INT64_MAX;
    return INT64_MAX;
}

/* True while every slot in use has a master that answers. */
static bool is_whole(const struct redis_cluster *cluster, int64_t now_ms)
{
    bool blocking = cluster->timeout_ms == 0 || cluster->timeout_ms > BLOCKING_TIMEOUT_MS;
    int64_t silent_ms = now_ms - (blocking ? BLOCKING_SILENCE_MS : SILENCE_MS);
    for (const struct node *node = cluster->nodes; node; node = node->next)
        if (node->wanted &&
            (!redis_link_ready(node->link) || redis_link_silent_ms(node->link) < silent_ms))
            return false;
    for (size_t word = 0; word < REDIS_SLOTS / 64; word++)
        for (int bit = 0; cluster->used[word] && bit < 64; bit++)
            if (cluster->used[word] >> bit & 1 &&
                !redis_topology_find(&cluster->topology, (int)word * 64 + bit))
                return false;
    return cluster->topology.range_count > 0;
}

/* ---- commands ---- */

static void on_routed(int rc, const struct redis_reply *reply, void *data);

static void finish(struct routed *routed, int rc, const struct redis_reply *reply)
{
    routed->cluster->pending--;
    if (routed->done)
        routed->done(rc, reply, routed->data);
    redis_command_fini(&routed->command);
    free(routed);
}

/* To where it belongs, if that is connected. */
static int send_now(struct routed *routed)
{
    struct redis_cluster *cluster = routed->cluster;
    int slot = routed->command.slot;
    const struct redis_address *address =
        routed->addressed ? &routed->address
                          : (slot >= 0 ? redis_topology_find(&cluster->topology, slot) : NULL);
    struct node *node = address ? find_node(cluster, address) : NULL;
    for (node = slot < 0 && !address ? cluster->nodes : node;
         slot < 0 && node && !redis_link_ready(node->link); node = node->next)
        ;
    if (!node || !redis_link_ready(node->link))
        return ERR_UNAVAILABLE;
    routed->address = *redis_link_address(node->link);
    node->needed_ms = clock_ms();
    return redis_link_send(node->link, &routed->command,
                           REDIS_LINK_KEPT | (routed->asking ? REDIS_LINK_ASKING : 0), on_routed,
                           routed);
}

static void park(struct routed *routed, int64_t retry_ms)
{
    struct routed **slot = &routed->cluster->parked;
    routed->retry_ms = retry_ms;
    routed->next = NULL;
    while (*slot)
        slot = &(*slot)->next;
    *slot = routed;
}

static void on_routed(int rc, const struct redis_reply *reply, void *data)
{
    struct routed *routed = data;
    struct redis_cluster *cluster = routed->cluster;
    struct redis_address address;
    int64_t now_ms = clock_ms();
    enum redis_redirect redirect = redis_redirect_parse(reply, routed->address.host, &address);
    if (!reply || redirect == REDIS_MOVED)
        refresh_within(cluster, MOVED_MS);
    if (redirect == REDIS_STAY || routed->redirects++ >= MAX_REDIRECTS) {
        finish(routed, rc, reply);
        return;
    }
    if (routed->give_up_ms == 0)
        routed->give_up_ms = now_ms + PATIENCE_MS;
    routed->asking = redirect == REDIS_ASK;
    routed->addressed = redirect != REDIS_LATER;
    if (redirect == REDIS_LATER) {
        routed->redirects--; /* only time bounds this */
        refresh_within(cluster, REFRESH_MS);
        park(routed, now_ms + LATER_MS);
        return;
    }
    routed->address = address;
    if (!get_node(cluster, &address)) {
        finish(routed, ERR_UNAVAILABLE, NULL);
        return;
    }
    if (cluster->parked || send_now(routed) < 0)
        park(routed, 0);
}

/* Returns when to look again. */
static int64_t send_parked(struct redis_cluster *cluster, int64_t now_ms)
{
    struct routed *list = cluster->parked;
    int64_t next_ms = INT64_MAX;
    cluster->parked = NULL;
    while (list) {
        struct routed *routed = list;
        list = list->next;
        int rc = now_ms >= routed->retry_ms ? send_now(routed) : ERR_UNAVAILABLE;
        if (rc < 0 && (now_ms >= routed->give_up_ms || rc != ERR_UNAVAILABLE)) {
            finish(routed, ERR_UNAVAILABLE, NULL);
        } else if (rc < 0) {
            if (now_ms >= routed->retry_ms)
                routed->retry_ms = now_ms + LATER_MS;
            next_ms = routed->retry_ms < next_ms ? routed->retry_ms : next_ms;
            park(routed, routed->retry_ms);
        }
    }
    return next_ms;
}

int redis_cluster_send(struct redis_cluster *cluster, const struct redis_command *command,
                       redis_async_done *done, void *data)
{
    if (command->failure)
        return command->failure;
    if (cluster->pending >= REDIS_ASYNC_MAX_PENDING)
        return ERR_UNAVAILABLE;
    if (command->slot >= 0)
        redis_cluster_use(cluster, command->slot);
    struct routed *routed = calloc(1, sizeof *routed);
    if (!routed)
        return ERR_NOMEM;
    *routed = (struct routed){.cluster = cluster, .done = done, .data = data};
    int rc = redis_command_copy(&routed->command, command);
    if (rc == 0)
        rc = send_now(routed);
    if (rc < 0) {
        redis_command_fini(&routed->command);
        free(routed);
        return rc;
    }
    cluster->pending++;
    return 0;
}

/* ---- the whole ---- */

int redis_cluster_create(const struct redis_target *target, int epoll_fd,
                         struct redis_cluster **out_cluster, struct err *err)
{
    struct redis_cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    cluster->target = target;
    cluster->epoll_fd = epoll_fd;
    redis_command_init(&cluster->command, 1024);
    snprintf(cluster->reason, sizeof cluster->reason, "no node has answered yet");
    get_node(cluster, &target->seeds[0]);
    *out_cluster = cluster;
    return 0;
}

void redis_cluster_destroy(struct redis_cluster **slot)
{
    struct redis_cluster *cluster = *slot;
    *slot = NULL;
    if (!cluster)
        return;
    while (cluster->nodes) {
        struct node *node = cluster->nodes;
        redis_link_destroy(&node->link); /* answers what waits */
        cluster->nodes = node->next;
        free(node);
    }
    while (cluster->parked) {
        struct routed *routed = cluster->parked;
        cluster->parked = routed->next;
        finish(routed, ERR_UNAVAILABLE, NULL);
    }
    redis_topology_fini(&cluster->topology);
    redis_command_fini(&cluster->command);
    free(cluster);
}

void redis_cluster_set_timeout(struct redis_cluster *cluster, int64_t timeout_ms)
{
    cluster->timeout_ms = timeout_ms;
    for (struct node *node = cluster->nodes; node; node = node->next)
        redis_link_set_timeout(node->link, timeout_ms);
}

int64_t redis_cluster_tick(struct redis_cluster *cluster, int64_t now_ms)
{
    if (!is_whole(cluster, now_ms))
        refresh_within(cluster, REFRESH_MS);
    int64_t next_ms = now_ms >= cluster->refresh_ms ? refresh(cluster, now_ms) : INT64_MAX;
    if (cluster->stale)
        want_nodes(cluster);
    int64_t parked_ms = send_parked(cluster, now_ms);
    next_ms = parked_ms < next_ms ? parked_ms : next_ms;
    for (struct node *node = cluster->nodes; node; node = node->next) {
        int64_t node_ms = redis_link_tick(node->link, now_ms);
        next_ms = node_ms < next_ms ? node_ms : next_ms;
        if (!node->wanted && node->needed_ms + UNUSED_MS < next_ms)
            next_ms = node->needed_ms + UNUSED_MS;
        int64_t silent_ms = redis_link_silent_ms(node->link);
        if (silent_ms < INT64_MAX - SILENCE_MS && silent_ms + SILENCE_MS > now_ms &&
            silent_ms + SILENCE_MS < next_ms)
            next_ms = silent_ms + SILENCE_MS;
    }
    drop_unwanted(cluster, now_ms);
    if (!is_whole(cluster, now_ms))
        refresh_within(cluster, REFRESH_MS);
    /* One that is overdue waits for a link, as `next_ms` knows. */
    return cluster->refresh_ms > now_ms && cluster->refresh_ms < next_ms ? cluster->refresh_ms
                                                                         : next_ms;
}

void redis_cluster_flush(struct redis_cluster *cluster)
{
    for (struct node *node = cluster->nodes; node; node = node->next)
        redis_link_flush(node->link);
}

bool redis_cluster_connected(const struct redis_cluster *cluster)
{
    for (const struct node *node = cluster->nodes; node; node = node->next)
        if (cluster->topology.range_count > 0 && redis_link_ready(node->link))
            return true;
    return false;
}

size_t redis_cluster_pending(const struct redis_cluster *cluster)
{
    return cluster->pending;
}

const char *redis_cluster_reason(const struct redis_cluster *cluster)
{
    return redis_cluster_connected(cluster) ? "" : cluster->reason;
}

void redis_cluster_use(struct redis_cluster *cluster, int slot)
{
    if (is_used(cluster, slot))
        return;
    cluster->used[slot / 64] |= (uint64_t)1 << (slot % 64);
    cluster->stale = true;
}

bool redis_cluster_reaches(const struct redis_cluster *cluster, int slot)
{
    const struct redis_address *address = redis_topology_find(&cluster->topology, slot);
    const struct node *node = address ? find_node(cluster, address) : NULL;
    return node && redis_link_ready(node->link);
}
