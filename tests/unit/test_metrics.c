/* SPDX-License-Identifier: MIT */
#include "common/metrics.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/metrics_server.h"
#include "common/supervisor.h"
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static const double bounds[] = {0.25, 1};
static const struct metric seconds = {
    "test_step_seconds", "Time.", METRIC_HISTOGRAM, {"step"}, bounds, 2};
static const struct metric jobs = {.name = "test_jobs_total",
                                   .help = "Jobs.",
                                   .type = METRIC_COUNTER,
                                   .labels = {"model", "outcome"}};
static const struct metric level = {
    .name = "test_level_ratio", .help = "Level.", .type = METRIC_GAUGE};
static const struct metric *const families[] = {&seconds, &jobs, &level};

static struct metrics *create(void)
{
    struct metrics *metrics = NULL;
    CHECK_INT(metrics_create(families, 3, &metrics), 0);
    return metrics;
}

static void a_histogram_counts_each_value_at_and_above_its_size(void)
{
    struct metrics *metrics = create();
    struct buf out;
    buf_init(&out, 65536);
    const char *const infer[] = {"infer"};
    metrics_observe(metrics, &seconds, infer, 0.25); /* a bound belongs to its own bucket */
    metrics_observe(metrics, &seconds, infer, 0.5);
    metrics_observe(metrics, &seconds, infer, 7);
    CHECK_INT(metrics_write(metrics, &out), 0);
    CHECK(strstr(buf_text(&out), "# HELP test_step_seconds Time.\n"
                                 "# TYPE test_step_seconds histogram\n"
                                 "test_step_seconds_bucket{step=\"infer\",le=\"0.25\"} 1\n"
                                 "test_step_seconds_bucket{step=\"infer\",le=\"1\"} 2\n"
                                 "test_step_seconds_bucket{step=\"infer\",le=\"+Inf\"} 3\n"
                                 "test_step_seconds_sum{step=\"infer\"} 7.75\n"
                                 "test_step_seconds_count{step=\"infer\"} 3\n"));
    buf_fini(&out);
    metrics_destroy(&metrics);
    CHECK(!metrics);
}

static void counters_add_up_gauges_are_replaced_and_heads_are_always_there(void)
{
    struct metrics *metrics = create();
    struct buf out;
    buf_init(&out, 65536);
    metrics_add(metrics, &jobs, (const char *const[]){"a", "done"}, 1);
    metrics_add(metrics, &jobs, (const char *const[]){"a", "done"}, 2);
    metrics_add(metrics, &jobs, (const char *const[]){"a", NULL}, 1);
    metrics_set(metrics, &level, NULL, 0.5);
    metrics_set(metrics, &level, NULL, 0.125);
    CHECK_INT(metrics_write(metrics, &out), 0);
    CHECK_TEXT(buf_text(&out), "# HELP test_step_seconds Time.\n"
                               "# TYPE test_step_seconds histogram\n"
                               "# HELP test_jobs_total Jobs.\n"
                               "# TYPE test_jobs_total counter\n"
                               "test_jobs_total{model=\"a\",outcome=\"done\"} 3\n"
                               "test_jobs_total{model=\"a\",outcome=\"\"} 1\n"
                               "# HELP test_level_ratio Level.\n"
                               "# TYPE test_level_ratio gauge\n"
                               "test_level_ratio 0.125\n"
                               "# HELP darkroom_metrics_dropped_total Figures for which there was "
                               "no series left.\n"
                               "# TYPE darkroom_metrics_dropped_total counter\n"
                               "darkroom_metrics_dropped_total 0\n");
    buf_fini(&out);
    metrics_destroy(&metrics);
}

static void a_label_cannot_leave_its_quotes(void)
{
    struct metrics *metrics = create();
    struct buf out;
    buf_init(&out, 65536);
    metrics_add(metrics, &jobs, (const char *const[]){"a\"} 9\nb\\", "x"}, 1);
    CHECK_INT(metrics_write(metrics, &out), 0);
    CHECK(strstr(buf_text(&out), "{model=\"a\\\"} 9\\nb\\\\\",outcome=\"x\"} 1\n"));
    buf_fini(&out);
    metrics_destroy(&metrics);
}

static void what_is_too_much_is_dropped_and_counted(void)
{
    struct metrics *metrics = create();
    struct buf out;
    buf_init(&out, 1024 * 1024);
    char name[16];
    for (int i = 0; i < METRICS_SERIES + 3; i++) {
        snprintf(name, sizeof name, "m%d", i);
        metrics_add(metrics, &jobs, (const char *const[]){name, "x"}, 1);
    }
    metrics_add(metrics, &jobs, (const char *const[]){"m0", "x"}, 1);
    CHECK_INT(metrics_write(metrics, &out), 0);
    CHECK(strstr(buf_text(&out), "\ndarkroom_metrics_dropped_total 3\n"));
    CHECK(strstr(buf_text(&out), "{model=\"m0\",outcome=\"x\"} 2\n"));
    CHECK(!strstr(buf_text(&out), "\"m1024\""));
    buf_fini(&out);
    metrics_destroy(&metrics);
}

static void without_a_registry_nothing_is_counted(void)
{
    metrics_add(NULL, &jobs, NULL, 1);
    metrics_set(NULL, &level, NULL, 1);
    metrics_observe(NULL, &seconds, NULL, 1);
}

static void a_text_that_does_not_fit_is_an_error(void)
{
    struct metrics *metrics = create();
    struct buf out;
    buf_init(&out, 65536);
    metrics_observe(metrics, &seconds, (const char *const[]){"x"}, 1);
    CHECK_INT(metrics_write(metrics, &out), 0);
    size_t whole = out.size;
    buf_fini(&out);
    for (size_t size = 0; size < whole; size += 7) {
        buf_init(&out, size);
        CHECK_INT(metrics_write(metrics, &out), ERR_LIMIT);
        buf_fini(&out);
    }
    metrics_destroy(&metrics);
}

/* ---- the server ------------------------------------------------------------------------------ */

static void refresh(void *context)
{
    metrics_set(context, &level, NULL, 0.75);
}

static int connect_to(const struct metrics_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(metrics_server_port(server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends `request` and reads to the end. */
static const char *ask(const struct metrics_server *server, const char *request)
{
    static char answer[65536];
    size_t size = 0;
    ssize_t got;
    int fd = connect_to(server);
    CHECK_INT(send(fd, request, strlen(request), MSG_NOSIGNAL), (int64_t)strlen(request));
    while ((got = recv(fd, answer + size, sizeof answer - 1 - size, 0)) > 0)
        size += (size_t)got;
    answer[size] = 0;
    close(fd);
    return answer;
}

static void the_server_answers_get_metrics_and_no_other_path(void)
{
    struct metrics *metrics = create();
    struct metrics_server *server = NULL;
    struct err err = {0};
    CHECK_INT(metrics_server_start("127.0.0.1:0", metrics, refresh, metrics, &server, &err), 0);
    const char *answer = ask(server, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(!strncmp(answer, "HTTP/1.1 200 OK\r\n", 17));
    CHECK(strstr(answer, "\ntest_level_ratio 0.75\n"));
    CHECK(strstr(answer, "\nprocess_resident_memory_bytes "));
    const char *body = strstr(answer, "\r\n\r\n");
    CHECK(body);
    CHECK_INT(strtol(strstr(answer, "Content-Length: ") + 16, NULL, 10), (int64_t)strlen(body + 4));
    CHECK(!strncmp(ask(server, "GET /metricsx HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 ", 13));
    CHECK(!strncmp(ask(server, "GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ", 13));
    answer = ask(server, "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    CHECK(!strncmp(answer, "HTTP/1.1 405 ", 13));
    CHECK(strstr(answer, "\r\nAllow: GET\r\n"));
    metrics_server_stop(&server);
    CHECK(!server);
    metrics_destroy(&metrics);
}

static void probes_are_answered_by_what_the_loop_says_of_itself(void)
{
    struct metrics *metrics = create();
    struct metrics_server *server = NULL;
    struct err err = {0};
    static const char alive[] = "GET /healthz HTTP/1.1\r\n\r\n";
    static const char ready[] = "GET /readyz?x HTTP/1.1\r\n\r\n";
    supervisor_init();
    CHECK_INT(metrics_server_start("127.0.0.1:0", metrics, NULL, NULL, &server, &err), 0);
    CHECK(strstr(ask(server, alive), "HTTP/1.1 200 OK\r\n"));
    CHECK(strstr(ask(server, ready), "HTTP/1.1 503 Service Unavailable\r\n"));
    supervisor_ready();
    supervisor_beat(clock_ms(), "well");
    CHECK(strstr(ask(server, alive), "\r\n\r\nok\n"));
    CHECK(strstr(ask(server, ready), "\r\n\r\nready\n"));
    supervisor_beat(clock_ms() - SUPERVISOR_PATIENCE_MS - 1, "long ago");
    CHECK(strstr(ask(server, alive), "HTTP/1.1 503 Service Unavailable\r\n"));
    CHECK(strstr(ask(server, ready), "HTTP/1.1 503 Service Unavailable\r\n"));
    supervisor_beat(clock_ms(), "well again");
    supervisor_stopping();
    CHECK(strstr(ask(server, alive), "HTTP/1.1 200 OK\r\n"));
    CHECK(strstr(ask(server, ready), "\r\n\r\nnot ready\n"));
    CHECK(!strncmp(ask(server, "GET /readyzz HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 ", 13));
    metrics_server_stop(&server);
    metrics_destroy(&metrics);
}

static void a_stop_waits_for_no_client(void)
{
    struct metrics *metrics = create();
    struct metrics_server *server = NULL;
    struct err err = {0};
    CHECK_INT(metrics_server_start("127.0.0.1:0", metrics, NULL, NULL, &server, &err), 0);
    int silent = connect_to(server);
    metrics_server_stop(&server);
    char byte;
    CHECK(recv(silent, &byte, 1, 0) <= 0);
    close(silent);
    metrics_destroy(&metrics);
}

static void an_address_that_is_none_names_the_option(void)
{
    struct metrics *metrics = create();
    struct metrics_server *server = NULL;
    struct err err = {0};
    CHECK_INT(metrics_server_start("9464", metrics, NULL, NULL, &server, &err), ERR_INVALID);
    CHECK_TEXT(err.field, "metrics");
    CHECK(!server);
    metrics_destroy(&metrics);
}

int main(void)
{
    RUN(a_histogram_counts_each_value_at_and_above_its_size);
    RUN(counters_add_up_gauges_are_replaced_and_heads_are_always_there);
    RUN(a_label_cannot_leave_its_quotes);
    RUN(what_is_too_much_is_dropped_and_counted);
    RUN(without_a_registry_nothing_is_counted);
    RUN(a_text_that_does_not_fit_is_an_error);
    RUN(the_server_answers_get_metrics_and_no_other_path);
    RUN(probes_are_answered_by_what_the_loop_says_of_itself);
    RUN(a_stop_waits_for_no_client);
    RUN(an_address_that_is_none_names_the_option);
    return check_report();
}
