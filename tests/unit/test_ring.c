/* SPDX-License-Identifier: MIT */
#include "worker/ring.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <pthread.h>
#include <sched.h>

static void items_come_out_in_the_order_they_went_in(void)
{
    int values[5];
    void *item;
    struct ring *ring = ring_create(3);
    for (int round = 0; round < 4; round++) {
        CHECK_INT(ring_push(ring, &values[0]), 0);
        CHECK_INT(ring_push(ring, &values[1]), 0);
        CHECK_INT(ring_count(ring), 2);
        CHECK_INT(ring_pop(ring, &item), 0);
        CHECK(item == &values[0]);
        CHECK(ring_try_pop(ring, &item));
        CHECK(item == &values[1]);
        CHECK(!ring_try_pop(ring, &item));
    }
    ring_destroy(&ring);
    CHECK(ring == NULL);
    ring_destroy(&ring);
}

static void a_closed_ring_refuses_writers_and_drains_for_readers(void)
{
    int value;
    void *item = NULL;
    struct ring *ring = ring_create(2);
    CHECK_INT(ring_push(ring, &value), 0);
    ring_close(ring);
    ring_close(ring);
    CHECK_INT(ring_push(ring, &value), ERR_CANCELLED);
    CHECK_INT(ring_pop(ring, &item), 0);
    CHECK(item == &value);
    CHECK_INT(ring_pop(ring, &item), ERR_CANCELLED);
    ring_destroy(&ring);
}

struct traffic {
    struct ring *ring;
    int count;
    size_t most; /* seen inside at once */
    int rc;
};

static void *write_all(void *argument)
{
    struct traffic *traffic = argument;
    for (int i = 1; i <= traffic->count && traffic->rc == 0; i++)
        traffic->rc = ring_push(traffic->ring, (void *)(intptr_t)i);
    return NULL;
}

static void a_writer_waits_for_room_and_nothing_is_lost(void)
{
    struct traffic traffic = {ring_create(4), 10000, 0, 0};
    pthread_t writer;
    pthread_create(&writer, NULL, write_all, &traffic);
    intptr_t last = 0;
    while (last < traffic.count) {
        void *item;
        size_t inside = ring_count(traffic.ring);
        if (inside > traffic.most)
            traffic.most = inside;
        CHECK_INT(ring_pop(traffic.ring, &item), 0);
        CHECK_INT((intptr_t)item, last + 1);
        last = (intptr_t)item;
    }
    pthread_join(writer, NULL);
    CHECK_INT(traffic.rc, 0);
    CHECK(traffic.most <= 4);
    ring_destroy(&traffic.ring);
}

static void closing_wakes_a_writer_that_waits(void)
{
    struct traffic traffic = {ring_create(1), 3, 0, 0};
    pthread_t writer;
    pthread_create(&writer, NULL, write_all, &traffic);
    while (ring_count(traffic.ring) == 0)
        sched_yield();
    ring_close(traffic.ring);
    pthread_join(writer, NULL);
    CHECK_INT(traffic.rc, ERR_CANCELLED);
    ring_destroy(&traffic.ring);
}

static void *read_one(void *argument)
{
    struct traffic *traffic = argument;
    void *item;
    traffic->rc = ring_pop(traffic->ring, &item);
    return NULL;
}

static void closing_wakes_every_reader_that_waits(void)
{
    struct ring *ring = ring_create(1);
    struct traffic traffic[3];
    pthread_t readers[3];
    for (int i = 0; i < 3; i++) {
        traffic[i] = (struct traffic){.ring = ring};
        pthread_create(&readers[i], NULL, read_one, &traffic[i]);
    }
    ring_close(ring);
    for (int i = 0; i < 3; i++) {
        pthread_join(readers[i], NULL);
        CHECK_INT(traffic[i].rc, ERR_CANCELLED);
    }
    ring_destroy(&ring);
}

int main(void)
{
    RUN(items_come_out_in_the_order_they_went_in);
    RUN(a_closed_ring_refuses_writers_and_drains_for_readers);
    RUN(a_writer_waits_for_room_and_nothing_is_lost);
    RUN(closing_wakes_a_writer_that_waits);
    RUN(closing_wakes_every_reader_that_waits);
    return check_report();
}
