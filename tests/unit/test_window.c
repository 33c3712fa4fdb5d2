/* SPDX-License-Identifier: MIT */
#include "dispatcher/events/window.h"

#include "tests/unit/check.h"

#include <stdio.h>

#define ALICE "00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB "00bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void add(struct window *window, const char *event_id, const char *public_id, int progress)
{
    struct queue_event event = {
        .event_id = event_id, .state = JOB_RUNNING, .progress = progress, .model = "m"};
    snprintf(event.public_id, sizeof event.public_id, "%s", public_id);
    window_add(window, &event);
}

/* The progress of each change of the job in (after, until], in order. */
static const char *seen(const struct window *window, const char *public_id, const char *after,
                        const char *until)
{
    static char text[256];
    size_t cursor = 0, used = 0;
    const struct window_change *change;
    text[0] = 0;
    while ((change = window_next(window, &cursor, public_id, window_id_parse(after),
                                 window_id_parse(until))))
        used += (size_t)snprintf(text + used, sizeof text - used, "%d ", change->progress);
    return text;
}

static bool covers(const struct window *window, const char *after)
{
    return window_covers(window, window_id_parse(after));
}

static void changes_of_one_job_are_found_after_and_until(void)
{
    struct window window;
    window_init(&window, 1000);
    CHECK(!covers(&window, "5-0"));
    add(&window, "5-0", ALICE, 1);
    add(&window, "5-0", BOB, 2);
    add(&window, "5-1", ALICE, 3);
    add(&window, "10-0", BOB, 4);
    add(&window, "11-0", ALICE, 5);
    CHECK_TEXT(seen(&window, ALICE, "4-0", "99-0"), "1 3 5 ");
    CHECK_TEXT(seen(&window, ALICE, "5-0", "99-0"), "3 5 ");
    CHECK_TEXT(seen(&window, ALICE, "5-1", "10-0"), "");
    CHECK_TEXT(seen(&window, BOB, "5-0", "10-0"), "4 ");
    CHECK_TEXT(seen(&window, ALICE, "11-0", "99-0"), "");
    window_fini(&window);
}

static void it_covers_from_its_first_entry_to_its_last(void)
{
    struct window window;
    window_init(&window, 1000);
    add(&window, "5-3", ALICE, 1);
    add(&window, "9-0", ALICE, 2);
    CHECK(!covers(&window, "5-2"));
    CHECK(covers(&window, "5-3"));
    CHECK(covers(&window, "7-0"));
    CHECK(covers(&window, "9-0"));
    CHECK(!covers(&window, "9-1")); /* of a stream that we have not read, or that is no more */
    CHECK(!covers(&window, "junk"));
    window_clear(&window);
    CHECK(!covers(&window, "9-0"));
    window_fini(&window);
}

static void a_full_one_forgets_the_oldest_and_says_so(void)
{
    struct window window;
    char id[32];
    window_init(&window, 700);
    for (int i = 1; i <= 2000; i++) {
        snprintf(id, sizeof id, "%d-0", i);
        add(&window, id, i % 2 ? ALICE : BOB, i % 1000);
    }
    CHECK_INT(window.count, 700);
    CHECK(!covers(&window, "1299-0"));
    CHECK(covers(&window, "1300-0"));
    CHECK_TEXT(seen(&window, ALICE, "1994-0", "9999-0"), "995 997 999 ");
    CHECK_TEXT(seen(&window, BOB, "1300-0", "1304-0"), "302 304 ");
    window_fini(&window);
}

/* Changes of one entry share its id: who has seen the id has seen them all. */
static void an_entry_of_many_changes_is_forgotten_as_a_whole(void)
{
    struct window window;
    window_init(&window, 3);
    add(&window, "1-0", ALICE, 1);
    add(&window, "1-0", BOB, 2);
    add(&window, "1-0", ALICE, 3);
    CHECK(covers(&window, "1-0"));
    add(&window, "2-0", BOB, 4);
    CHECK(covers(&window, "1-0"));
    CHECK(!covers(&window, "0-9"));
    add(&window, "3-0", BOB, 5);
    add(&window, "4-0", BOB, 6);
    add(&window, "5-0", BOB, 7);
    CHECK(!covers(&window, "1-0"));
    CHECK(covers(&window, "2-0"));
    window_fini(&window);
}

static void ids_are_compared_as_numbers(void)
{
    CHECK(window_id_compare(window_id_parse("9-10"), window_id_parse("9-9")) > 0);
    CHECK(window_id_compare(window_id_parse("10-0"), window_id_parse("9-9")) > 0);
    CHECK(window_id_compare(window_id_parse("9-9"), window_id_parse("9-9")) == 0);
    CHECK_INT(window_id_parse("9-").ms, 0);
    CHECK_INT(window_id_parse("").ms, 0);
}

int main(void)
{
    RUN(changes_of_one_job_are_found_after_and_until);
    RUN(it_covers_from_its_first_entry_to_its_last);
    RUN(a_full_one_forgets_the_oldest_and_says_so);
    RUN(an_entry_of_many_changes_is_forgotten_as_a_whole);
    RUN(ids_are_compared_as_numbers);
    return check_report();
}
