/* SPDX-License-Identifier: MIT */
#include "common/span_queue.h"

#include "common/span.h"
#include "tests/unit/check.h"

#include <pthread.h>

static void make(struct span *out, int number)
{
    const struct trace step = {
        .id = "4bf92f3577b34da6a3ce929d0e0e4736", .span = "00f067aa0ba902b7", .sampled = true};
    span_init(out, SPAN_INTERNAL, &step, NULL, "%d", number);
}

static long number_of(const struct span *span)
{
    return strtol(span->name, NULL, 10);
}

static void put(struct span_queue *queue, int number)
{
    struct span span;
    make(&span, number);
    span_queue_put(queue, &span, 1);
}

static void spans_leave_in_the_order_in_which_they_came(void)
{
    struct span_queue *queue = NULL;
    struct span out[4];
    CHECK_INT(span_queue_create(5, &queue), 0);
    int next = 0, seen = 0;
    for (int turn = 0; turn < 7; turn++) { /* round the ring, and more than once */
        for (int i = 0; i < 4; i++)
            put(queue, next++);
        size_t count = span_queue_take(queue, out, 4, 0);
        CHECK_INT(count, 4);
        for (size_t i = 0; i < count; i++)
            CHECK_INT(number_of(&out[i]), seen++);
    }
    CHECK_INT(span_queue_take(queue, out, 4, 0), 0);
    CHECK_INT(span_queue_dropped(queue), 0);
    span_queue_destroy(&queue);
}

static void what_finds_no_room_is_dropped_and_counted(void)
{
    struct span_queue *queue = NULL;
    struct span out[8], group[3];
    CHECK_INT(span_queue_create(4, &queue), 0);
    for (int i = 0; i < 3; i++)
        put(queue, i);
    for (int i = 0; i < 3; i++) { /* a group that fits only in part, with what it owns */
        make(&group[i], 10 + i);
        CHECK(span_links(&group[i], 2) != NULL);
    }
    span_queue_put(queue, group, 3);
    CHECK_INT(span_queue_dropped(queue), 3);
    put(queue, 3);
    put(queue, 4);
    CHECK_INT(span_queue_dropped(queue), 4);
    CHECK_INT(span_queue_take(queue, out, 8, 0), 4);
    for (int i = 0; i < 4; i++)
        CHECK_INT(number_of(&out[i]), i);
    span_queue_destroy(&queue);
}

static void a_closed_queue_gives_what_it_has_and_takes_no_more(void)
{
    struct span_queue *queue = NULL;
    struct span out[2], linked;
    CHECK_INT(span_queue_create(4, &queue), 0);
    put(queue, 1);
    make(&linked, 2);
    CHECK(span_links(&linked, 1) != NULL);
    span_queue_put(queue, &linked, 1); /* freed with the queue */
    span_queue_close(queue);
    put(queue, 3);
    CHECK_INT(span_queue_dropped(queue), 1);
    CHECK(span_queue_wait_closed(queue, 60000));
    CHECK_INT(span_queue_take(queue, out, 1, 60000), 1);
    CHECK_TEXT(out[0].name, "1");
    span_queue_destroy(&queue);
    span_queue_destroy(&queue);
}

static void *put_many(void *argument)
{
    for (int i = 0; i < 1000; i++)
        put(argument, i);
    return NULL;
}

static void whoever_takes_sleeps_until_enough_are_there(void)
{
    struct span_queue *queue = NULL;
    static struct span out[1000];
    pthread_t thread;
    CHECK_INT(span_queue_create(1000, &queue), 0);
    CHECK_INT(pthread_create(&thread, NULL, put_many, queue), 0);
    CHECK_INT(span_queue_take(queue, out, 1000, 60000), 1000);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(number_of(&out[i]), i);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(!span_queue_wait_closed(queue, 1));
    span_queue_destroy(&queue);
}

static void a_span_that_is_full_says_what_it_left_out(void)
{
    struct span span;
    char text[SPAN_TEXT_BYTES];
    make(&span, 0);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    span_text(&span, "empty", "");
    span_text(&span, "none", NULL);
    CHECK_INT(span.attribute_count, 0);
    span_text(&span, "first", "1");
    span_text(&span, "too long now", text);
    for (int i = 1; i < SPAN_ATTRIBUTES + 2; i++)
        span_number(&span, "number", i);
    CHECK_INT(span.attribute_count, SPAN_ATTRIBUTES);
    CHECK_INT(span.attributes_left_out, 3);
    span_fail(&span, "timeout");
    CHECK(span.failed);
    span_fini(&span);
}

int main(void)
{
    RUN(spans_leave_in_the_order_in_which_they_came);
    RUN(what_finds_no_room_is_dropped_and_counted);
    RUN(a_closed_queue_gives_what_it_has_and_takes_no_more);
    RUN(whoever_takes_sleeps_until_enough_are_there);
    RUN(a_span_that_is_full_says_what_it_left_out);
    return check_report();
}
