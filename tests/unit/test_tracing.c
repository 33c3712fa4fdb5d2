/* SPDX-License-Identifier: MIT
 *
 * How it is switched on, and what is refused. Sending is tested with a collector (integration). */
#include "common/tracing.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/span.h"
#include "common/trace.h"
#include "tests/unit/check.h"

/* Nothing is sent there: no span is made. */
#define ENDPOINT "http://127.0.0.1:9"

static struct tracing_settings settings_of(const char *endpoint, const char *ratio)
{
    return (struct tracing_settings){.endpoint = (char *)(uintptr_t)endpoint,
                                     .ratio = (char *)(uintptr_t)ratio};
}

static int open_with(const struct tracing_settings *settings, struct tracer **out, struct err *err)
{
    return tracing_open(settings, &(struct tracing_program){.name = "test"}, out, err);
}

static void without_an_endpoint_nothing_is_opened(void)
{
    struct tracing_settings settings = settings_of(NULL, "1");
    struct tracer *tracer = NULL;
    struct trace trace;
    CHECK_INT(open_with(&settings, &tracer, NULL), 0);
    CHECK(tracer == NULL);
    CHECK(!tracer_samples(NULL));
    CHECK(!tracer_begin(NULL, &trace));
    settings = settings_of("", "1");
    CHECK_INT(open_with(&settings, &tracer, NULL), 0);
    CHECK(tracer == NULL);
    tracer_destroy(&tracer, 0);
}

static void others_variables_switch_it_off(void)
{
    struct tracing_settings settings = settings_of(ENDPOINT, "1");
    struct tracer *tracer = NULL;
    setenv("OTEL_SDK_DISABLED", "True", 1);
    CHECK_INT(open_with(&settings, &tracer, NULL), 0);
    CHECK(tracer == NULL);
    unsetenv("OTEL_SDK_DISABLED");
    setenv("OTEL_TRACES_EXPORTER", "none", 1);
    CHECK_INT(open_with(&settings, &tracer, NULL), 0);
    CHECK(tracer == NULL);
    unsetenv("OTEL_TRACES_EXPORTER");
}

static void our_own_names_are_stronger_than_those_that_all_programs_share(void)
{
    static const struct config_option options[] = {TRACING_OPTIONS(0)};
    static const struct config_spec spec = {.usage = "",
                                            .options = options,
                                            .option_count = sizeof options / sizeof options[0],
                                            .settings_size = sizeof(struct tracing_settings)};
    struct tracing_settings settings;
    enum config_next next;
    int words;
    char *argv[] = {(char[]){"x"}, NULL};
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT, 1);
    setenv("OTEL_SERVICE_NAME", "shared", 1);
    setenv("DARKROOM_OTLP_SERVICE_NAME", "ours", 1);
    setenv("OTEL_TRACES_SAMPLER_ARG", "", 1); /* as if it were not there */
    CHECK_INT(config_load(&spec, 1, argv, &settings, &next, &words, NULL), 0);
    CHECK_TEXT(settings.endpoint, ENDPOINT);
    CHECK_TEXT(settings.service_name, "ours");
    CHECK_TEXT(settings.ratio, "1");
    config_fini(&spec, &settings);
    unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
    unsetenv("OTEL_SERVICE_NAME");
    unsetenv("DARKROOM_OTLP_SERVICE_NAME");
    unsetenv("OTEL_TRACES_SAMPLER_ARG");
}

static void a_bad_setting_is_named(void)
{
    static const struct {
        const char *endpoint, *ratio, *variable, *value, *field;
    } rows[] = {
        {"collector:4318", "1", NULL, NULL, "otlp-endpoint"},
        {"ftp://collector", "1", NULL, NULL, "otlp-endpoint"},
        {"http://collector/a b", "1", NULL, NULL, "otlp-endpoint"},
        {ENDPOINT, "", NULL, NULL, "trace-ratio"},
        {ENDPOINT, "1.01", NULL, NULL, "trace-ratio"},
        {ENDPOINT, "-0.1", NULL, NULL, "trace-ratio"},
        {ENDPOINT, "nan", NULL, NULL, "trace-ratio"},
        {ENDPOINT, "half", NULL, NULL, "trace-ratio"},
        {ENDPOINT, "1", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "otlp-endpoint"},
        {ENDPOINT, "1", "OTEL_EXPORTER_OTLP_HEADERS", "no pair", "OTEL_EXPORTER_OTLP_HEADERS"},
        {ENDPOINT, "1", "OTEL_RESOURCE_ATTRIBUTES", "no pair", "OTEL_RESOURCE_ATTRIBUTES"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tracing_settings settings = settings_of(rows[i].endpoint, rows[i].ratio);
        struct tracer *tracer = NULL;
        struct err err = {0};
        if (rows[i].variable)
            setenv(rows[i].variable, rows[i].value, 1);
        CHECK_INT(open_with(&settings, &tracer, &err), ERR_INVALID);
        CHECK_TEXT(err.field, rows[i].field);
        CHECK(tracer == NULL);
        if (rows[i].variable)
            unsetenv(rows[i].variable);
    }
    struct tracing_settings settings = settings_of(ENDPOINT, "1");
    struct tracer *tracer = NULL;
    struct err err = {0};
    settings.headers_file = (char[]){"/nowhere/headers"};
    CHECK_INT(open_with(&settings, &tracer, &err), ERR_NOT_FOUND);
    CHECK_TEXT(err.field, "otlp-headers-file");
}

static void the_ratio_decides_about_traces_that_begin_here(void)
{
    static const struct {
        const char *ratio;
        int least, most; /* of 2000: five sigmas */
    } rows[] = {{"0", 0, 0}, {"1", 2000, 2000}, {"0.25", 403, 597}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tracing_settings settings = settings_of(ENDPOINT, rows[i].ratio);
        struct tracer *tracer = NULL;
        int begun = 0;
        CHECK_INT(open_with(&settings, &tracer, NULL), 0);
        for (int k = 0; k < 2000; k++) {
            struct trace trace;
            if (tracer_begin(tracer, &trace)) {
                CHECK(trace.sampled);
                CHECK_INT(strlen(trace.id), 32);
                CHECK_INT(strlen(trace.span), 16);
                begun++;
            }
        }
        CHECK(begun >= rows[i].least);
        CHECK(begun <= rows[i].most);
        tracer_destroy(&tracer, 0);
        CHECK(tracer == NULL);
    }
}

static void spans_nobody_collects_are_freed(void)
{
    struct span span;
    const struct trace step = {.id = "4bf92f3577b34da6a3ce929d0e0e4736",
                               .span = "00f067aa0ba902b7"};
    span_init(&span, SPAN_INTERNAL, &step, NULL, "x");
    CHECK(span_links(&span, 3) != NULL);
    tracer_put(NULL, &span, 1);
}

int main(void)
{
    RUN(without_an_endpoint_nothing_is_opened);
    RUN(others_variables_switch_it_off);
    RUN(our_own_names_are_stronger_than_those_that_all_programs_share);
    RUN(a_bad_setting_is_named);
    RUN(the_ratio_decides_about_traces_that_begin_here);
    RUN(spans_nobody_collects_are_freed);
    return check_report();
}
