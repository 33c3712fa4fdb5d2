/* SPDX-License-Identifier: MIT
 *
 * Internet addresses and networks: who is a trusted proxy, and where a webhook may go.
 *
 *     struct network_set allowed;
 *     unsigned char address[NETWORK_ADDRESS_SIZE];
 *     rc = network_set_parse("127.0.0.1/32,10.0.0.0/8", "webhook-allow", &allowed, &err);
 *     network_of_peer(sockaddr, address);
 *     if (network_is_public(address) || network_set_contains(&allowed, address)) …
 *
 * Addresses are kept as IPv6; IPv4 is mapped (::ffff:a.b.c.d), so that one address has one form.
 * Pure functions, any thread. */
#ifndef DARKROOM_COMMON_NETWORK_H
#define DARKROOM_COMMON_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct sockaddr;

#define NETWORK_ADDRESS_SIZE 16
#define NETWORK_SET_MAX 32

struct network {
    unsigned char address[NETWORK_ADDRESS_SIZE];
    unsigned prefix; /* bits, counted in the IPv6 form */
};

struct network_set {
    struct network networks[NETWORK_SET_MAX];
    size_t count;
};

/* Comma-separated addresses and networks; NULL or "" is the empty set. ERR_INVALID and ERR_LIMIT
 * have `option` as their field. */
int network_set_parse(const char *text, const char *option, struct network_set *out,
                      struct err *err);
bool network_set_contains(const struct network_set *set,
                          const unsigned char address[NETWORK_ADDRESS_SIZE]);

/* One address of `size` characters, IPv6 with or without brackets. False: it is none. */
bool network_read_address(const char *text, size_t size, unsigned char out[NETWORK_ADDRESS_SIZE]);

/* All zeros for NULL and for a family that is not the internet's; these are not public. */
void network_of_peer(const struct sockaddr *peer, unsigned char out[NETWORK_ADDRESS_SIZE]);

bool network_is_v4(const unsigned char address[NETWORK_ADDRESS_SIZE]);

/* Can this address belong to a stranger's server on the internet? False for everything that the
 * IANA special-purpose registries (RFC 6890) set aside: loopback, private, link-local, shared
 * (CGNAT), unique local, multicast, documentation, benchmarking, reserved; for the metadata
 * services of clouds, which live in these or have an address of their own; and for IPv6 outside of
 * 2000::/3. Forms that carry an IPv4 address are judged by it (mapped, NAT64) or refused (6to4,
 * Teredo, compatible). */
bool network_is_public(const unsigned char address[NETWORK_ADDRESS_SIZE]);

#endif
