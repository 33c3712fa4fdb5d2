/* SPDX-License-Identifier: MIT */
#include "common/stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static atomic_bool requested;
static int event_fd = -1;

void stop_request(void)
{
    atomic_store(&requested, true);
    uint64_t one = 1;
    /* Only async-signal-safe calls: this runs inside the handler. */
    ssize_t written = write(event_fd, &one, sizeof one);
    (void)written;
}

static void on_signal(int signal_number)
{
    if (atomic_load(&requested))
        _exit(128 + signal_number);
    stop_request();
}

void stop_init(void)
{
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0)
        abort();
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

bool stop_requested(void)
{
    return atomic_load(&requested);
}

int stop_fd(void)
{
    return event_fd;
}
