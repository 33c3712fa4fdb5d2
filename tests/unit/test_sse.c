/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/sse.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    struct sse_stream *stream;
    int client;
    int gone;
};

static void on_gone(void *owner)
{
    ((struct pair *)owner)->gone++;
}

static struct sse *create(unsigned most)
{
    struct sse *sse = NULL;
    CHECK_INT(sse_create(most, on_gone, &sse, NULL), 0);
    return sse;
}

static void open_pair(struct sse *sse, struct pair *pair)
{
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *pair = (struct pair){.client = fds[1]};
    pair->stream = sse_open(sse, fds[0], pair);
}

/* What is there to read now; -1: the end. */
static ssize_t drain(int fd)
{
    static char scratch[65536];
    ssize_t got, sum = 0;
    while ((got = recv(fd, scratch, sizeof scratch, MSG_DONTWAIT)) > 0)
        sum += got;
    return got == 0 && sum == 0 ? -1 : sum;
}

static void turn(struct sse *sse)
{
    sse_handle(sse);
    sse_tick(sse, 0);
}

static void what_is_written_arrives_and_the_end_closes(void)
{
    struct sse *sse = create(10);
    struct pair pair;
    open_pair(sse, &pair);
    CHECK_INT(sse_write(pair.stream, "data: 1\n\n", 9), 0);
    CHECK_INT(drain(pair.client), 9);
    sse_end(pair.stream);
    CHECK_INT(sse_write(pair.stream, "x", 1), ERR_LOST);
    CHECK_INT(drain(pair.client), -1);
    CHECK_INT(pair.gone, 0); /* not from within a call */
    turn(sse);
    CHECK_INT(pair.gone, 1);
    CHECK_INT(sse_count(sse), 0);
    close(pair.client);
    sse_destroy(&sse);
}

static void a_reader_that_lags_is_served_later_and_to_the_end(void)
{
    static char block[100000];
    struct sse *sse = create(10);
    struct pair pair;
    ssize_t sent = 0, got = 0, now;
    open_pair(sse, &pair);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(sse_write(pair.stream, block, sizeof block), 0);
        sent += (ssize_t)sizeof block;
    }
    sse_end(pair.stream);
    CHECK_INT(pair.gone, 0);
    CHECK_INT(sse_count(sse), 1);
    while ((now = drain(pair.client)) >= 0) {
        got += now;
        turn(sse);
    }
    CHECK_INT(got, sent);
    CHECK_INT(pair.gone, 1);
    close(pair.client);
    sse_destroy(&sse);
}

static void a_reader_that_never_reads_is_cut(void)
{
    static char block[100000];
    struct sse *sse = create(10);
    struct pair pair;
    int rc = 0, count = 0;
    open_pair(sse, &pair);
    while (rc == 0 && count++ < 1000)
        rc = sse_write(pair.stream, block, sizeof block);
    CHECK_INT(rc, ERR_LIMIT);
    turn(sse);
    CHECK_INT(pair.gone, 1);
    close(pair.client);
    sse_destroy(&sse);
}

static void a_client_that_left_is_noticed(void)
{
    struct sse *sse = create(10);
    struct pair pairs[3];
    for (int i = 0; i < 3; i++)
        open_pair(sse, &pairs[i]);
    close(pairs[1].client);
    struct pollfd wait = {.fd = sse_fd(sse), .events = POLLIN};
    CHECK_INT(poll(&wait, 1, 1000), 1);
    turn(sse);
    turn(sse);
    CHECK_INT(pairs[1].gone, 1);
    CHECK_INT(sse_count(sse), 2);
    CHECK_INT(sse_write(pairs[0].stream, "a", 1), 0);
    CHECK_INT(drain(pairs[0].client), 1);
    close(pairs[0].client);
    close(pairs[2].client);
    sse_destroy(&sse);
    CHECK_INT(pairs[0].gone + pairs[2].gone, 2);
}

/* As `nc -N` and simple HTTP/1.0 clients do. */
static void a_client_that_has_only_said_all_is_told_on(void)
{
    struct sse *sse = create(10);
    struct pair pair;
    open_pair(sse, &pair);
    shutdown(pair.client, SHUT_WR);
    turn(sse);
    turn(sse);
    CHECK_INT(pair.gone, 0);
    CHECK_INT(drain(pair.client), 3); /* one comment, not one for each turn */
    CHECK_INT(sse_write(pair.stream, "data: 1\n\n", 9), 0);
    CHECK_INT(drain(pair.client), 9);
    close(pair.client);
    sse_destroy(&sse);
}

static void there_are_no_more_than_so_many(void)
{
    struct sse *sse = create(1);
    struct pair first, second;
    open_pair(sse, &first);
    CHECK(sse_is_full(sse));
    open_pair(sse, &second);
    CHECK(second.stream == NULL);
    CHECK_INT(drain(second.client), -1); /* its socket was taken, and closed */
    sse_end(first.stream);
    turn(sse);
    CHECK(!sse_is_full(sse));
    close(first.client);
    close(second.client);
    sse_destroy(&sse);
}

int main(void)
{
    RUN(what_is_written_arrives_and_the_end_closes);
    RUN(a_reader_that_lags_is_served_later_and_to_the_end);
    RUN(a_reader_that_never_reads_is_cut);
    RUN(a_client_that_left_is_noticed);
    RUN(a_client_that_has_only_said_all_is_told_on);
    RUN(there_are_no_more_than_so_many);
    return check_report();
}
