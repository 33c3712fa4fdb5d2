/* SPDX-License-Identifier: MIT
 *
 * Who is asking: the address of the client, seen through the proxies that we trust.
 *
 *     rc = client_proxies_parse("127.0.0.1,10.0.0.0/8", &proxies, &err);
 *     client_key(&proxies, peer, forwarded_for_header, &key);
 *
 * Addresses are kept as IPv6; IPv4 is mapped. A key keeps the whole IPv4 address and the /64 of an
 * IPv6 one, the smallest piece that one customer gets. Pure functions, any thread. */
#ifndef DARKROOM_DISPATCHER_ACCESS_CLIENT_H
#define DARKROOM_DISPATCHER_ACCESS_CLIENT_H

#include "common/network.h"

struct err;
struct sockaddr;

struct client_key {
    unsigned char bytes[16];
};

struct client_proxies {
    struct network_set networks;
};

/* Comma-separated addresses and networks; NULL or "" trusts nobody. ERR_INVALID, ERR_LIMIT. */
int client_proxies_parse(const char *text, struct client_proxies *out, struct err *err);

/* Goes through X-Forwarded-For (nullable) from its right end for as long as whoever wrote the entry
 * is a trusted proxy: everything further left may be invented. */
void client_key(const struct client_proxies *proxies, const struct sockaddr *peer,
                const char *forwarded_for, struct client_key *out);

#endif
