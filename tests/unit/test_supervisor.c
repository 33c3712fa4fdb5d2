/* SPDX-License-Identifier: MIT */
#include "common/supervisor.h"

#include "tests/unit/check.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int server = -1;

/* Listens at a name of its own, and speaks to it from now on. */
static void listen_at(char kind)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[80];
    if (server >= 0)
        close(server);
    snprintf(name, sizeof name, "%cdarkroom-supervisor-%ld", kind, (long)getpid());
    if (kind == '/')
        snprintf(name, sizeof name, "/tmp/darkroom-supervisor-%ld", (long)getpid());
    memcpy(address.sun_path, name, strlen(name));
    if (kind == '@')
        address.sun_path[0] = 0;
    server = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    unlink(name);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    CHECK_INT(bind(server, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    supervisor_init();
}

static const char *heard(void)
{
    static char text[1000];
    ssize_t size = recv(server, text, sizeof text - 1, 0);
    text[size < 0 ? 0 : size] = 0;
    return text;
}

static void without_a_supervisor_beats_go_on_for_probes(void)
{
    supervisor_init();
    CHECK(supervisor_due(0));
    supervisor_beat(1000, "fine");
    CHECK(!supervisor_due(10999));
    CHECK_INT(supervisor_next_ms(), 11000);
}

static void probes_hear_of_readiness_and_of_silence(void)
{
    supervisor_init();
    CHECK(!supervisor_is_ready());
    CHECK(supervisor_is_alive(INT64_MAX)); /* still starting */
    supervisor_beat(1000, "starting");
    CHECK(!supervisor_is_ready());
    supervisor_ready();
    CHECK(supervisor_is_ready());
    CHECK(supervisor_is_alive(1000 + SUPERVISOR_PATIENCE_MS));
    CHECK(!supervisor_is_alive(1001 + SUPERVISOR_PATIENCE_MS));
    supervisor_patience(SUPERVISOR_PATIENCE_MS + 1);
    CHECK(supervisor_is_alive(1001 + SUPERVISOR_PATIENCE_MS));
    supervisor_patience(SUPERVISOR_PATIENCE_MS);
    supervisor_stopping();
    CHECK(!supervisor_is_ready());
    CHECK(supervisor_is_alive(1001));
}

static void an_address_of_another_kind_is_no_supervisor(void)
{
    char name[300] = "";
    memset(name, '/', sizeof name - 1);
    const char *const names[] = {"", "/", "@", "relative", "vsock:2:1234", name};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        setenv("WATCHDOG_USEC", "6000000", 1);
        supervisor_init();
        supervisor_beat(0, "well");
        CHECK_INT(supervisor_next_ms(), 10000); /* nobody's watchdog */
    }
}

static void it_hears_of_readiness_status_and_end(void)
{
    listen_at('@');
    CHECK(supervisor_due(0));
    supervisor_beat(0, "starting");
    CHECK_TEXT(heard(), "STATUS=starting");
    CHECK(!supervisor_due(1));
    supervisor_ready();
    CHECK(supervisor_due(1));
    supervisor_beat(1, "%d jobs", 3);
    CHECK_TEXT(heard(), "READY=1\nSTATUS=3 jobs");
    CHECK_INT(supervisor_next_ms(), 10001);
    supervisor_beat(10001, "%d jobs", 4);
    CHECK_TEXT(heard(), "STATUS=4 jobs");
    supervisor_stopping();
    CHECK_TEXT(heard(), "STOPPING=1\nSTATUS=stopping");
}

static void a_watchdog_is_fed_at_half_its_time(void)
{
    setenv("WATCHDOG_USEC", "6000000", 1);
    listen_at('@');
    supervisor_ready();
    supervisor_beat(100, "well");
    CHECK_TEXT(heard(), "READY=1\nWATCHDOG=1\nSTATUS=well");
    CHECK_INT(supervisor_next_ms(), 3100);
    CHECK(!supervisor_due(3099));
    CHECK(supervisor_due(3100));
}

static void a_watchdog_of_another_process_is_not_fed(void)
{
    setenv("WATCHDOG_USEC", "6000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    listen_at('@');
    supervisor_beat(0, "well");
    CHECK_TEXT(heard(), "STATUS=well");
}

static void a_watchdog_that_is_no_number_is_none(void)
{
    const char *const numbers[] = {"", "x", "-5", "0", "1e6", "99999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        setenv("WATCHDOG_USEC", numbers[i], 1);
        listen_at('@');
        supervisor_beat(0, "well");
        CHECK_TEXT(heard(), "STATUS=well");
    }
}

static void children_do_not_speak_for_us(void)
{
    setenv("WATCHDOG_USEC", "6000000", 1);
    char pid[20];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    listen_at('@');
    CHECK(!getenv("NOTIFY_SOCKET"));
    CHECK(!getenv("WATCHDOG_USEC"));
    CHECK(!getenv("WATCHDOG_PID"));
    supervisor_beat(0, "well");
    CHECK_TEXT(heard(), "WATCHDOG=1\nSTATUS=well");
}

static void a_status_is_one_line_of_bounded_length(void)
{
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    listen_at('@');
    supervisor_beat(0, "one\nREADY=1");
    CHECK_TEXT(heard(), "STATUS=one");
    supervisor_beat(0, "%s", text);
    CHECK_INT((int64_t)strlen(heard()), 7 + 199);
}

static void what_it_does_not_take_is_said_again_a_second_later(void)
{
    listen_at('@');
    for (int i = 0; i < 10000 && supervisor_next_ms() != 1000; i++)
        supervisor_beat(0, "full");
    supervisor_ready();
    supervisor_beat(0, "ready");
    CHECK_INT(supervisor_next_ms(), 1000);
    while (*heard())
        ;
    supervisor_beat(1000, "room");
    CHECK_TEXT(heard(), "READY=1\nSTATUS=room");
    CHECK_INT(supervisor_next_ms(), 11000);
}

static void a_path_is_a_place_to_speak_to(void)
{
    char name[80];
    snprintf(name, sizeof name, "/tmp/darkroom-supervisor-%ld", (long)getpid());
    listen_at('/');
    supervisor_beat(0, "well");
    CHECK_TEXT(heard(), "STATUS=well");
    unlink(name);
    supervisor_beat(0, "gone");
    CHECK_INT(supervisor_next_ms(), 1000);
}

int main(void)
{
    RUN(without_a_supervisor_beats_go_on_for_probes);
    RUN(probes_hear_of_readiness_and_of_silence);
    RUN(an_address_of_another_kind_is_no_supervisor);
    RUN(it_hears_of_readiness_status_and_end);
    RUN(a_watchdog_is_fed_at_half_its_time);
    RUN(a_watchdog_of_another_process_is_not_fed);
    RUN(a_watchdog_that_is_no_number_is_none);
    RUN(children_do_not_speak_for_us);
    RUN(a_status_is_one_line_of_bounded_length);
    RUN(what_it_does_not_take_is_said_again_a_second_later);
    RUN(a_path_is_a_place_to_speak_to);
    return check_report();
}
