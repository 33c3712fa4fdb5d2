/* SPDX-License-Identifier: MIT */
#include "common/tracing.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"
#include "common/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_URL 2048

const struct metric tracing_exported = {
    .name = "darkroom_spans_exported_total",
    .help = "Spans that the collector took.",
    .type = METRIC_COUNTER,
};
const struct metric tracing_dropped = {
    .name = "darkroom_spans_dropped_total",
    .help = "Spans that were given up: full, more came than could be sent; failed, refused or the "
            "collector was away.",
    .type = METRIC_COUNTER,
    .labels = {"reason"},
};

void tracing_measure(struct tracer *tracer, struct metrics *metrics)
{
    struct tracer_figures figures;
    if (!tracer || !metrics)
        return;
    tracer_read_figures(tracer, &figures);
    metrics_set(metrics, &tracing_exported, NULL, (double)figures.exported);
    metrics_set(metrics, &tracing_dropped, (const char *const[]){"full"},
                (double)figures.dropped_full);
    metrics_set(metrics, &tracing_dropped, (const char *const[]){"failed"},
                (double)figures.dropped_failed);
}

/* What is made of the settings on the way to the tracer. */
struct opening {
    char url[MAX_URL];
    double ratio;
    struct buf secret;               /* the file's lines */
    char *variables[2], *attributes; /* owned copies: taken apart in place */
    struct otlp_pairs headers, resource;
    char host[256], process[16], instance[ID_NAME_SIZE];
};

/* NULL also where it is empty, as the specification has it. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool is_switched_off(void)
{
    const char *disabled = variable("OTEL_SDK_DISABLED"), *kind = variable("OTEL_TRACES_EXPORTER");
    return (disabled && strcasecmp(disabled, "true") == 0) || (kind && strcmp(kind, "none") == 0);
}

static int read_url(const struct tracing_settings *settings, char out[MAX_URL], struct err *err)
{
    const char *whole = settings->traces_endpoint;
    const char *option = whole ? "otlp-traces-endpoint" : "otlp-endpoint";
    const char *url = whole ? whole : settings->endpoint;
    size_t size = strlen(url);
    while (!whole && size > 0 && url[size - 1] == '/')
        size--;
    bool known = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
    int length = snprintf(out, MAX_URL, "%.*s%s", (int)size, url, whole ? "" : "/v1/traces");
    if (!known || length >= MAX_URL || strpbrk(url, " \t\r\n\"<>\\"))
        return err_set(err, ERR_INVALID, option, "%s wants http://host:port or https://…", option);
    return 0;
}

/* OTLP over gRPC is another protocol on another port: told at the start, not by silence. */
static int check_protocol(struct err *err)
{
    static const char *const names[] = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                                        "OTEL_EXPORTER_OTLP_PROTOCOL"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = variable(names[i]);
        if (value && strncmp(value, "http/", 5) != 0)
            return err_set(err, ERR_INVALID, "otlp-endpoint", "%s is %.32s: we speak http/json",
                           names[i], value);
        if (value)
            return 0;
    }
    return 0;
}

static int read_ratio(const char *text, double *out, struct err *err)
{
    char *end;
    double ratio = strtod(text, &end);
    if (end == text || *end || !(ratio >= 0 && ratio <= 1))
        return err_set(err, ERR_INVALID, "trace-ratio",
                       "trace-ratio wants a number from 0 to 1, not '%.32s'", text);
    *out = ratio;
    return 0;
}

/* Where `err` says only what is wrong, it now says with what. */
static int blame(int rc, const char *name, struct err *err)
{
    if (rc < 0 && err && !err->field[0])
        snprintf(err->field, sizeof err->field, "%s", name);
    return rc;
}

static int read_variable(const char *name, char **out_copy, struct otlp_pairs *pairs,
                         struct err *err)
{
    const char *value = variable(name);
    if (!value)
        return 0;
    *out_copy = strdup(value);
    return *out_copy ? blame(otlp_pairs_parse(*out_copy, name, pairs, err), name, err) : ERR_NOMEM;
}

/* The file's come last: a server takes the last of two, and so do we mean it. */
static int read_headers(const struct tracing_settings *settings, struct opening *opening,
                        struct err *err)
{
    struct otlp_pairs *headers = &opening->headers;
    int rc = read_variable("OTEL_EXPORTER_OTLP_HEADERS", &opening->variables[0], headers, err);
    if (rc == 0)
        rc = read_variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS", &opening->variables[1], headers,
                           err);
    if (rc == 0 && settings->headers_file)
        rc = secret_read_file(settings->headers_file, &opening->secret, err);
    if (rc == 0 && opening->secret.size > 0)
        rc = otlp_pairs_parse((char *)opening->secret.data, settings->headers_file, headers, err);
    return blame(rc, "otlp-headers-file", err);
}

static void add(struct otlp_pairs *pairs, const char *key, const char *value)
{
    if (pairs->count < OTLP_PAIRS_MAX)
        pairs->items[pairs->count++] = (struct otlp_pair){key, value};
}

/* The environment may say more, and other things; of the service's name our option has the last
 * word. */
static int describe(const struct tracing_settings *settings, const struct tracing_program *program,
                    struct opening *opening, struct err *err)
{
    struct otlp_pairs *resource = &opening->resource;
    if (gethostname(opening->host, sizeof opening->host - 1) < 0)
        opening->host[0] = 0;
    snprintf(opening->process, sizeof opening->process, "%d", (int)getpid());
    id_nonce_create(opening->instance);
    add(resource, "service.name", program->name);
    add(resource, "service.namespace", "darkroom");
    add(resource, "service.version", DARKROOM_VERSION);
    add(resource, "service.instance.id", program->instance ? program->instance : opening->instance);
    add(resource, "host.name", opening->host);
    add(resource, "process.pid", opening->process);
    int rc = read_variable("OTEL_RESOURCE_ATTRIBUTES", &opening->attributes, resource, err);
    if (settings->service_name && *settings->service_name)
        add(resource, "service.name", settings->service_name);
    return rc;
}

static int read_all(const struct tracing_settings *settings, const struct tracing_program *program,
                    struct opening *opening, struct err *err)
{
    int rc = read_url(settings, opening->url, err);
    if (rc == 0)
        rc = check_protocol(err);
    if (rc == 0)
        rc = read_ratio(settings->ratio, &opening->ratio, err);
    if (rc == 0)
        rc = read_headers(settings, opening, err);
    return rc == 0 ? describe(settings, program, opening, err) : rc;
}

int tracing_open(const struct tracing_settings *settings, const struct tracing_program *program,
                 struct tracer **out_tracer, struct err *err)
{
    struct opening opening = {.ratio = 1};
    *out_tracer = NULL;
    bool wanted = (settings->traces_endpoint && *settings->traces_endpoint) ||
                  (settings->endpoint && *settings->endpoint);
    if (!wanted || is_switched_off())
        return 0;
    buf_init(&opening.secret, OTLP_PAIRS_BYTES);
    int rc = read_all(settings, program, &opening, err);
    if (rc == 0)
        rc = tracer_create(&(struct tracer_options){.url = opening.url,
                                                    .ca_file = settings->ca_file,
                                                    .headers = &opening.headers,
                                                    .resource = &opening.resource,
                                                    .ratio = opening.ratio,
                                                    .told = program->told,
                                                    .context = program->context},
                           out_tracer, err);
    for (size_t i = 0; i < 2; i++)
        free(opening.variables[i]);
    free(opening.attributes);
    secret_wipe_buf(&opening.secret);
    buf_fini(&opening.secret);
    return rc < 0 ? err_set(err, rc, "otlp-endpoint", "%s", err_name(rc)) : 0;
}
