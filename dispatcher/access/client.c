/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/client.h"

#include <string.h>

int client_proxies_parse(const char *text, struct client_proxies *out, struct err *err)
{
    return network_set_parse(text, "trusted-proxies", &out->networks, err);
}

void client_key(const struct client_proxies *proxies, const struct sockaddr *peer,
                const char *forwarded_for, struct client_key *out)
{
    unsigned char address[16], further[16];
    network_of_peer(peer, address);
    size_t left = forwarded_for ? strlen(forwarded_for) : 0;
    while (left > 0 && network_set_contains(&proxies->networks, address)) {
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
        if (!network_read_address(entry, size, further))
            break;
        memcpy(address, further, sizeof address);
        left = start > 0 ? start - 1 : 0;
    }
    memcpy(out->bytes, address, sizeof address);
    if (!network_is_v4(address))
        memset(out->bytes + 8, 0, 8);
}
