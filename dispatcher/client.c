/* SPDX-License-Identifier: MIT */
#include "dispatcher/client.h"

#include "common/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const unsigned char address[16])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

/* Reads one address of `size` characters, with or without brackets. */
static bool read_address(const char *text, size_t size, unsigned char out[16])
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

static void address_of(const struct sockaddr *peer, unsigned char out[16])
{
    memset(out, 0, 16);
    if (peer && peer->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
    } else if (peer && peer->sa_family == AF_INET) {
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    }
}

static int parse_network(const char *text, size_t size, struct client_network *out, struct err *err)
{
    const char *slash = memchr(text, '/', size);
    size_t address_size = slash ? (size_t)(slash - text) : size;
    if (!read_address(text, address_size, out->address))
        return err_set(err, ERR_INVALID, "trusted-proxies", "'%.*s' is not an address", (int)size,
                       text);
    unsigned most = is_v4(out->address) ? 32 : 128;
    out->prefix = most;
    if (slash) {
        char *end;
        long bits = strtol(slash + 1, &end, 10);
        if (end != text + size || end == slash + 1 || bits < 0 || bits > (long)most)
            return err_set(err, ERR_INVALID, "trusted-proxies", "'%.*s' is not a network",
                           (int)size, text);
        out->prefix = (unsigned)bits;
    }
    out->prefix += 128 - most;
    return 0;
}

int client_proxies_parse(const char *text, struct client_proxies *out, struct err *err)
{
    struct client_proxies proxies = {.count = 0};
    while (text && *text) {
        text += strspn(text, ", ");
        size_t size = strcspn(text, ", ");
        if (size == 0)
            break;
        if (proxies.count == CLIENT_MAX_PROXIES)
            return err_set(err, ERR_LIMIT, "trusted-proxies", "more than %d networks",
                           CLIENT_MAX_PROXIES);
        int rc = parse_network(text, size, &proxies.networks[proxies.count], err);
        if (rc < 0)
            return rc;
        proxies.count++;
        text += size;
    }
    *out = proxies;
    return 0;
}

static bool inside(const struct client_network *network, const unsigned char address[16])
{
    unsigned whole = network->prefix / 8, rest = network->prefix % 8;
    if (memcmp(network->address, address, whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff << (8 - rest));
    return rest == 0 || ((network->address[whole] ^ address[whole]) & mask) == 0;
}

static bool trusted(const struct client_proxies *proxies, const unsigned char address[16])
{
    for (size_t i = 0; i < proxies->count; i++)
        if (inside(&proxies->networks[i], address))
            return true;
    return false;
}

void client_key(const struct client_proxies *proxies, const struct sockaddr *peer,
                const char *forwarded_for, struct client_key *out)
{
    unsigned char address[16], further[16];
    address_of(peer, address);
    size_t left = forwarded_for ? strlen(forwarded_for) : 0;
    while (left > 0 && trusted(proxies, address)) {
        size_t start = left;
        while (start > 0 && forwarded_for[start - 1] != ',')
            start--;
        const char *entry = forwarded_for + start;
        size_t size = left - start;
        while (size > 0 && (*entry == ' ' || *entry == '\t')) {
            entry++;
            size--;
        }
        while (size > 0 && (entry[size - 1] == ' ' || entry[size - 1] == '\t'))
            size--;
        if (!read_address(entry, size, further))
            break;
        memcpy(address, further, sizeof address);
        left = start > 0 ? start - 1 : 0;
    }
    memcpy(out->bytes, address, sizeof address);
    if (!is_v4(address))
        memset(out->bytes + 8, 0, 8);
}
