/* SPDX-License-Identifier: MIT */
#include "common/listen.h"

#include "common/err.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static int split(const char *option, const char *address, char host[256], const char **out_port,
                 struct err *err)
{
    const char *colon = strrchr(address, ':');
    const char *start = address, *end = colon;
    if (colon && *address == '[') {
        start = address + 1;
        end = colon > start && colon[-1] == ']' ? colon - 1 : NULL;
    }
    size_t port_length = colon ? strlen(colon + 1) : 0;
    if (!colon || !end || port_length < 1 || port_length > 5 ||
        strspn(colon + 1, "0123456789") != port_length || strtol(colon + 1, NULL, 10) > 65535 ||
        end - start > 255)
        return err_set(err, ERR_INVALID, option, "'%s' is not HOST:PORT", address);
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = 0;
    *out_port = colon + 1;
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) < 0)
        return 0;
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
}

static int open_one(const struct addrinfo *info)
{
    int one = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

int listen_open(const char *option, const char *address, int *out_fd, uint16_t *out_port,
                struct err *err)
{
    char host[256];
    const char *port = NULL;
    int rc = split(option, address, host, &port, err);
    if (rc < 0)
        return rc;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int failure = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (failure)
        return err_set(err, ERR_INVALID, option, "%s: %s", address, gai_strerror(failure));
    int fd = -1;
    for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
        fd = open_one(info);
    if (fd < 0)
        rc = err_set_open(err, option, "%s", address);
    freeaddrinfo(found);
    if (fd < 0)
        return rc;
    *out_port = port_of(fd);
    *out_fd = fd;
    return 0;
}
