/* SPDX-License-Identifier: MIT */
#include "common/network.h"

#include "common/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define V4_BITS 96 /* in front of an IPv4 address in its mapped form */

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

bool network_is_v4(const unsigned char address[NETWORK_ADDRESS_SIZE])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

bool network_read_address(const char *text, size_t size, unsigned char out[NETWORK_ADDRESS_SIZE])
{
    char copy[INET6_ADDRSTRLEN];
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    if (size >= sizeof copy)
        return false;
    memcpy(copy, text, size);
    copy[size] = 0;
    if (inet_pton(AF_INET6, copy, out) == 1)
        return true;
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, out + 12) == 1;
}

void network_of_peer(const struct sockaddr *peer, unsigned char out[NETWORK_ADDRESS_SIZE])
{
    memset(out, 0, NETWORK_ADDRESS_SIZE);
    if (peer && peer->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
    } else if (peer && peer->sa_family == AF_INET) {
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    }
}

/* ---- sets ------------------------------------------------------------------------------------ */

static int parse_network(const char *text, size_t size, const char *option, struct network *out,
                         struct err *err)
{
    const char *slash = memchr(text, '/', size);
    size_t address_size = slash ? (size_t)(slash - text) : size;
    if (!network_read_address(text, address_size, out->address))
        return err_set(err, ERR_INVALID, option, "'%.*s' is not an address", (int)size, text);
    unsigned most = network_is_v4(out->address) ? 32 : 128;
    out->prefix = most;
    if (slash) {
        char *end;
        long bits = strtol(slash + 1, &end, 10);
        if (end != text + size || end == slash + 1 || bits < 0 || bits > (long)most)
            return err_set(err, ERR_INVALID, option, "'%.*s' is not a network", (int)size, text);
        out->prefix = (unsigned)bits;
    }
    out->prefix += 128 - most;
    return 0;
}

int network_set_parse(const char *text, const char *option, struct network_set *out,
                      struct err *err)
{
    struct network_set set = {.count = 0};
    while (text && *text) {
        text += strspn(text, ", ");
        size_t size = strcspn(text, ", ");
        if (size == 0)
            break;
        if (set.count == NETWORK_SET_MAX)
            return err_set(err, ERR_LIMIT, option, "more than %d networks", NETWORK_SET_MAX);
        int rc = parse_network(text, size, option, &set.networks[set.count], err);
        if (rc < 0)
            return rc;
        set.count++;
        text += size;
    }
    *out = set;
    return 0;
}

static bool inside(const unsigned char network[NETWORK_ADDRESS_SIZE], unsigned prefix,
                   const unsigned char address[NETWORK_ADDRESS_SIZE])
{
    unsigned whole = prefix / 8, rest = prefix % 8;
    if (memcmp(network, address, whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff << (8 - rest));
    return rest == 0 || ((network[whole] ^ address[whole]) & mask) == 0;
}

bool network_set_contains(const struct network_set *set,
                          const unsigned char address[NETWORK_ADDRESS_SIZE])
{
    for (size_t i = 0; i < set->count; i++)
        if (inside(set->networks[i].address, set->networks[i].prefix, address))
            return true;
    return false;
}

/* ---- public or not --------------------------------------------------------------------------- */

static const struct network special_v4[] = {
#define V4(a, b, c, d, bits)                                                                       \
    {                                                                                              \
        {[10] = 0xff, [11] = 0xff, a, b, c, d}, V4_BITS + (bits)                                   \
    }
    V4(0, 0, 0, 0, 8),        /* this network; Linux takes it for itself */
    V4(10, 0, 0, 0, 8),       /* private */
    V4(100, 64, 0, 0, 10),    /* shared, behind carriers; Alibaba's metadata */
    V4(127, 0, 0, 0, 8),      /* loopback */
    V4(168, 63, 129, 16, 32), /* Azure's host, reachable from its machines only */
    V4(169, 254, 0, 0, 16),   /* link-local; metadata of AWS, GCP, Azure and most others */
    V4(172, 16, 0, 0, 12),    /* private */
    V4(192, 0, 0, 0, 24),     /* protocol assignments; Oracle's metadata */
    V4(192, 0, 2, 0, 24),     /* documentation */
    V4(192, 88, 99, 0, 24),   /* relays of 6to4 */
    V4(192, 168, 0, 0, 16),   /* private */
    V4(198, 18, 0, 0, 15),    /* benchmarking */
    V4(198, 51, 100, 0, 24),  /* documentation */
    V4(203, 0, 113, 0, 24),   /* documentation */
    V4(224, 0, 0, 0, 4),      /* multicast */
    V4(240, 0, 0, 0, 4),      /* reserved, and broadcast */
#undef V4
};

/* Of the addresses within 2000::/3, which alone are assigned to anybody. */
static const struct network special_v6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments: Teredo, ORCHID, benchmarking */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4: an IPv4 address in disguise */
    {{0x3f, 0xfe}, 16},             /* the 6bone of old */
    {{0x3f, 0xff}, 20},             /* documentation */
};

static const unsigned char global_unicast[NETWORK_ADDRESS_SIZE] = {0x20};
static const unsigned char nat64[NETWORK_ADDRESS_SIZE] = {0x00, 0x64, 0xff, 0x9b};

static bool is_special(const struct network *table, size_t count,
                       const unsigned char address[NETWORK_ADDRESS_SIZE])
{
    for (size_t i = 0; i < count; i++)
        if (inside(table[i].address, table[i].prefix, address))
            return true;
    return false;
}

bool network_is_public(const unsigned char address[NETWORK_ADDRESS_SIZE])
{
    unsigned char v4[NETWORK_ADDRESS_SIZE];
    if (inside(nat64, 96, address)) { /* RFC 6052: the last 32 bits are where it leads */
        memcpy(v4, mapped, sizeof mapped);
        memcpy(v4 + 12, address + 12, 4);
        address = v4;
    }
    if (network_is_v4(address))
        return !is_special(special_v4, sizeof special_v4 / sizeof *special_v4, address);
    return inside(global_unicast, 3, address) &&
           !is_special(special_v6, sizeof special_v6 / sizeof *special_v6, address);
}
