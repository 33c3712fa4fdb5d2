/* SPDX-License-Identifier: MIT */
#include "common/supervisor.h"

#include "common/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BEAT_MS 10000 /* the line of the status is at most so old */
#define AGAIN_MS 1000
#define MAX_STATUS 200

static int fd = -1;
static struct sockaddr_un address;
static socklen_t address_size;
static int64_t beat_ms = BEAT_MS, next_ms;
static bool watched, ready_owed;
/* What probes are told. */
static atomic_bool ready;
static atomic_int_fast64_t seen_ms = -1, patience_ms = SUPERVISOR_PATIENCE_MS;

/* A path, or '@' and an abstract name. Other kinds (vsock, for a whole machine) are not for us. */
static bool read_address(const char *name)
{
    size_t length = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof address.sun_path)
        return false;
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

static int64_t number_of(const char *text)
{
    char *end;
    errno = 0;
    long long number = text ? strtoll(text, &end, 10) : 0;
    return text && end != text && !*end && !errno && number > 0 ? number : 0;
}

/* Half of the time after which we count as hung; 0: nobody looks. */
static int64_t watchdog_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    if (pid && number_of(pid) != (int64_t)getpid())
        return 0;
    int64_t limit_us = number_of(getenv("WATCHDOG_USEC"));
    return limit_us > 0 && limit_us < 2000 ? 1 : limit_us / 2000;
}

void supervisor_init(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (fd >= 0)
        close(fd);
    fd = -1;
    next_ms = 0;
    beat_ms = BEAT_MS;
    watched = ready_owed = false;
    atomic_store(&ready, false);
    atomic_store(&seen_ms, -1);
    if (name && read_address(name))
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        int64_t limit_ms = watchdog_ms();
        watched = limit_ms > 0;
        beat_ms = watched && limit_ms < BEAT_MS ? limit_ms : BEAT_MS;
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static bool tell(const char *text)
{
    return sendto(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&address, address_size) >= 0;
}

void supervisor_ready(void)
{
    atomic_store(&ready, true);
    ready_owed = true;
    next_ms = 0;
}

void supervisor_reloading(void)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_us());
    if (fd >= 0)
        tell(text);
}

void supervisor_reloaded(void)
{
    /* Who was not ready yet says so in its own time. */
    ready_owed = atomic_load(&ready);
    if (ready_owed)
        next_ms = 0;
}

void supervisor_stopping(void)
{
    atomic_store(&ready, false);
    if (fd >= 0)
        tell("STOPPING=1\nSTATUS=stopping");
}

int64_t supervisor_next_ms(void)
{
    return next_ms;
}

bool supervisor_due(int64_t now_ms)
{
    return now_ms >= next_ms;
}

void supervisor_beat(int64_t now_ms, const char *format, ...)
{
    char status[MAX_STATUS], text[MAX_STATUS + 40];
    atomic_store(&seen_ms, now_ms);
    next_ms = now_ms + beat_ms;
    if (fd < 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(status, sizeof status, format, arguments);
    va_end(arguments);
    /* One line: what follows a newline would be another message. */
    status[strcspn(status, "\n")] = 0;
    snprintf(text, sizeof text, "%s%sSTATUS=%s", ready_owed ? "READY=1\n" : "",
             watched ? "WATCHDOG=1\n" : "", status);
    if (tell(text))
        ready_owed = false;
    else
        next_ms = now_ms + (beat_ms < AGAIN_MS ? beat_ms : AGAIN_MS);
}

void supervisor_patience(int64_t ms)
{
    atomic_store(&patience_ms, ms);
}

bool supervisor_is_ready(void)
{
    return atomic_load(&ready);
}

bool supervisor_is_alive(int64_t now_ms)
{
    int64_t seen = atomic_load(&seen_ms);
    return seen < 0 || now_ms - seen <= atomic_load(&patience_ms);
}
