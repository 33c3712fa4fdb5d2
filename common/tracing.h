/* SPDX-License-Identifier: MIT
 *
 * The options of traces, which dispatcher, worker and notifier share, and what comes of them.
 *
 *     struct settings { …; struct tracing_settings tracing; };
 *     static const struct config_option options[] = { …, TRACING_OPTIONS(AT(tracing)) };
 *     rc = tracing_open(&settings.tracing, &(struct tracing_program){"darkroom-worker", id, told},
 *                       &tracer, &err);
 *     rc = tracing_measure(tracer, metrics);        // before /metrics is written
 *
 * What OpenTelemetry's programs share in the environment counts, too, behind our own names:
 * OTEL_EXPORTER_OTLP_ENDPOINT and _TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS and _TRACES_HEADERS,
 * OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
 * OTEL_TRACES_SAMPLER_ARG, OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER=none. Main thread, before
 * others start; tracing_measure() any. */
#ifndef DARKROOM_COMMON_TRACING_H
#define DARKROOM_COMMON_TRACING_H

#include "common/config.h"
#include "common/metrics.h"
#include "common/tracer.h"

struct err;

struct tracing_settings {
    char *endpoint, *traces_endpoint;
    char *headers_file, *ca_file;
    char *service_name;
    char *ratio;
};

#define TRACING_OPTION(name_, at, member, variable_, text, default_, traits_)                      \
    {                                                                                              \
        .name = (name_), .type = CONFIG_TEXT,                                                      \
        .offset = (at) + offsetof(struct tracing_settings, member), .variable = (variable_),       \
        .help = (text), .default_value = (default_), .traits = (traits_)                           \
    }
#define TRACING_OPTIONS(at)                                                                        \
    TRACING_OPTION("otlp-endpoint", at, endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT",                   \
                   "http(s)://HOST:4318 of a collector that takes OTLP; spans are sent there",     \
                   NULL, 0),                                                                       \
        TRACING_OPTION("otlp-traces-endpoint", at, traces_endpoint,                                \
                       "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",                                       \
                       "or the whole URL, where it does not end in /v1/traces", NULL, 0),          \
        TRACING_OPTION("otlp-headers-file", at, headers_file, NULL,                                \
                       "file with key=value lines that are sent along, such as a token", NULL,     \
                       CONFIG_SECRET),                                                             \
        TRACING_OPTION("otlp-ca-file", at, ca_file, "OTEL_EXPORTER_OTLP_CERTIFICATE",              \
                       "certificates to trust instead of the system's", NULL, 0),                  \
        TRACING_OPTION("otlp-service-name", at, service_name, "OTEL_SERVICE_NAME",                 \
                       "what we are called there; default: the program's name", NULL, 0),          \
        TRACING_OPTION("trace-ratio", at, ratio, "OTEL_TRACES_SAMPLER_ARG",                        \
                       "0 to 1: how many of the traces that begin here are sent", "1", 0)

struct tracing_program {
    const char *name;     /* "darkroom-worker" */
    const char *instance; /* one process of it; NULL: a random one */
    /* See tracer.h; nullable. */
    void (*told)(void *context, const char *reason);
    void *context;
};

/* *out_tracer is NULL where no endpoint is given. ERR_INVALID and the codes of secret_read_file()
 * name the option. */
int tracing_open(const struct tracing_settings *settings, const struct tracing_program *program,
                 struct tracer **out_tracer, struct err *err);

/* Spans by what became of them, for the table of a program's families; set by tracing_measure(),
 * and left out where `tracer` is NULL. */
extern const struct metric tracing_exported, tracing_dropped;
void tracing_measure(struct tracer *tracer, struct metrics *metrics);

#endif
