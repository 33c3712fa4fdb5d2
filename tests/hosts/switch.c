/* SPDX-License-Identifier: MIT
 *
 * A switch between hosts that are network namespaces: one tap device each, and between each two of
 * them a line that can lose, delay or swallow frames, either way by itself.
 *
 * Told by lines on standard input, each answered by a line "ok" or "bad"; it ends with its input:
 *
 *     port 3                  makes the tap device "host3" (again, where its namespace is gone),
 * for whoever moves it into a namespace and gives it the MAC address 02:00:00:00:00:03 line 3 7 20
 * 50000       from 3 to 7: loses 20 per mille, delays by 50,000 us; 1000 swallows everything line *
 * * 0 0            "*" is every port seed 42                 of what is lost
 *
 * A switch in user space because netem is not in every kernel. A frame goes to the port that the
 * last byte of its MAC address names, a broadcast to all. Single-threaded. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_PORTS 64
#define MAX_FRAME 2048
#define MAX_QUEUED 16384 /* frames on delayed lines; more are lost, as in any queue */
#define READ_AT_ONCE 64

struct line {
    unsigned loss_permille;
    int64_t delay_us;
};

struct frame {
    int64_t due_us;
    uint64_t number; /* frames of one moment leave as they came */
    int port;
    size_t size;
    unsigned char data[];
};

static int taps[MAX_PORTS];
static struct line lines[MAX_PORTS][MAX_PORTS];
static struct frame *heap[MAX_QUEUED];
static size_t heap_size;
static uint64_t frames_seen;
static uint64_t state = 88172645463325252u;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Marsaglia's xorshift. */
static unsigned random_permille(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % 1000);
}

/* ---- what is under way ---- */

static bool before(const struct frame *a, const struct frame *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void heap_add(struct frame *frame)
{
    size_t at = heap_size++;
    for (; at > 0 && before(frame, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = frame;
}

static struct frame *heap_take(void)
{
    struct frame *first = heap[0], *last = heap[--heap_size];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap_size; at = child) {
        if (child + 1 < heap_size && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return first;
}

/* A device that is full or gone loses the frame. */
static void put(int port, const unsigned char *data, size_t size)
{
    if (taps[port] >= 0 && write(taps[port], data, size) < 0 && errno == EBADFD) {
        close(taps[port]);
        taps[port] = -1;
    }
}

static void forward(int from, int to, const unsigned char *data, size_t size)
{
    const struct line *line = &lines[from][to];
    if (taps[to] < 0 || (line->loss_permille && random_permille() < line->loss_permille))
        return;
    if (line->delay_us == 0) {
        put(to, data, size);
        return;
    }
    struct frame *frame = heap_size < MAX_QUEUED ? malloc(sizeof *frame + size) : NULL;
    if (!frame)
        return;
    *frame = (struct frame){now_us() + line->delay_us, frames_seen++, to, size};
    memcpy(frame->data, data, size);
    heap_add(frame);
}

static void forward_due(void)
{
    while (heap_size > 0 && heap[0]->due_us <= now_us()) {
        struct frame *frame = heap_take();
        put(frame->port, frame->data, frame->size);
        free(frame);
    }
}

static void on_frames(int from)
{
    unsigned char data[MAX_FRAME];
    for (int i = 0; i < READ_AT_ONCE; i++) {
        ssize_t size = read(taps[from], data, sizeof data);
        if (size < 14) {
            if (size >= 0 || errno == EAGAIN)
                return;
            close(taps[from]); /* its namespace went away */
            taps[from] = -1;
            return;
        }
        for (int to = 0; to < MAX_PORTS; to++)
            if (to != from && (data[0] & 1 || to == data[5]))
                forward(from, to, data, (size_t)size);
    }
}

/* ---- orders ---- */

static int open_tap(int port)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(request.ifr_name, sizeof request.ifr_name, "host%d", port);
    if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool read_ports(const char *word, int *out_first, int *out_last)
{
    if (strcmp(word, "*") == 0) {
        *out_first = 0;
        *out_last = MAX_PORTS - 1;
        return true;
    }
    char *end;
    long port = strtol(word, &end, 10);
    *out_first = *out_last = (int)port;
    return *end == 0 && port >= 0 && port < MAX_PORTS;
}

static bool set_lines(const char *from, const char *to, unsigned loss_permille, long delay_us)
{
    int from_first, from_last, to_first, to_last;
    if (!read_ports(from, &from_first, &from_last) || !read_ports(to, &to_first, &to_last))
        return false;
    for (int i = from_first; i <= from_last; i++)
        for (int j = to_first; j <= to_last; j++)
            lines[i][j] = (struct line){loss_permille, delay_us};
    return true;
}

static bool obey(const char *order)
{
    char from[8], to[8];
    unsigned loss_permille;
    unsigned long long seed;
    long delay_us;
    int port;
    if (sscanf(order, "line %7s %7s %u %ld", from, to, &loss_permille, &delay_us) == 4)
        return set_lines(from, to, loss_permille, delay_us);
    if (sscanf(order, "seed %llu", &seed) == 1) {
        state = seed * 2 + 1;
        return true;
    }
    if (sscanf(order, "port %d", &port) != 1 || port < 0 || port >= MAX_PORTS)
        return false;
    if (taps[port] >= 0)
        close(taps[port]);
    taps[port] = open_tap(port);
    return taps[port] >= 0;
}

/* False at the end of the input. */
static bool on_orders(void)
{
    static char text[4096];
    static size_t size;
    ssize_t more = read(STDIN_FILENO, text + size, sizeof text - size - 1);
    if (more <= 0)
        return false;
    size += (size_t)more;
    text[size] = 0;
    char *at = text;
    for (char *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = 0;
        puts(obey(at) ? "ok" : "bad");
    }
    fflush(stdout);
    size -= (size_t)(at - text);
    memmove(text, at, size);
    return size < sizeof text - 1;
}

int main(void)
{
    for (int i = 0; i < MAX_PORTS; i++)
        taps[i] = -1;
    for (;;) {
        struct pollfd ready[MAX_PORTS + 1];
        for (int i = 0; i < MAX_PORTS; i++)
            ready[i] = (struct pollfd){.fd = taps[i], .events = POLLIN};
        ready[MAX_PORTS] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        struct timespec wait = {0};
        int64_t left_us = heap_size > 0 ? heap[0]->due_us - now_us() : 0;
        if (left_us > 0)
            wait = (struct timespec){left_us / 1000000, left_us % 1000000 * 1000};
        if (ppoll(ready, MAX_PORTS + 1, heap_size > 0 ? &wait : NULL, NULL) < 0 && errno != EINTR)
            return EXIT_FAILURE;
        forward_due();
        for (int i = 0; i < MAX_PORTS; i++)
            if (ready[i].revents && taps[i] >= 0)
                on_frames(i);
        if (ready[MAX_PORTS].revents && !on_orders())
            return EXIT_SUCCESS;
    }
}
