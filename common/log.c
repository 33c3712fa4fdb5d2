/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *program_name = "darkroom";
static atomic_int least_level = LOG_INFO;

/* What log_gather() holds back. */
static struct {
    pthread_mutex_t lock; /* guards the rest */
    bool on;
    size_t size;
    char text[16384];
} gathered = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_init(const char *program, enum log_level level)
{
    program_name = program;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store(&least_level, (int)level);
}

int log_level_parse(const char *name, enum log_level *out_level, struct err *err)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0) {
            *out_level = (enum log_level)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, "log", "--log must be debug, info, warn or error");
}

/* A line is cut rather than split: 2 KiB holds every event that we write. */
struct line {
    char text[2048];
    size_t used;
};

static void line_put(struct line *line, char c)
{
    if (line->used < sizeof line->text - 1)
        line->text[line->used++] = c;
}

static void line_puts(struct line *line, const char *text)
{
    size_t size = strlen(text), room = sizeof line->text - 1 - line->used;
    if (size > room)
        size = room;
    memcpy(line->text + line->used, text, size);
    line->used += size;
}

static bool needs_quotes(const char *value)
{
    if (!*value)
        return true;
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7f)
            return true;
    return false;
}

static void line_put_value(struct line *line, const char *value)
{
    if (!value)
        value = "-";
    if (!needs_quotes(value)) {
        line_puts(line, value);
        return;
    }
    line_put(line, '"');
    for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
        if (*c == '"' || *c == '\\') {
            line_put(line, '\\');
            line_put(line, (char)*c);
        } else if (*c < ' ' || *c == 0x7f) {
            char escaped[5];
            snprintf(escaped, sizeof escaped, "\\x%02x", *c);
            line_puts(line, escaped);
        } else {
            line_put(line, (char)*c);
        }
    }
    line_put(line, '"');
}

/* Nowhere is left to report that standard error is gone. */
static void write_out(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        size -= (size_t)written;
    }
}

/* With the lock held. */
static void flush_gathered(void)
{
    write_out(gathered.text, gathered.size);
    gathered.size = 0;
}

static void emit(const char *text, size_t size, bool now)
{
    pthread_mutex_lock(&gathered.lock);
    if (!gathered.on) {
        write_out(text, size);
    } else {
        if (size > sizeof gathered.text - gathered.size)
            flush_gathered();
        memcpy(gathered.text + gathered.size, text, size);
        gathered.size += size;
        if (now)
            flush_gathered();
    }
    pthread_mutex_unlock(&gathered.lock);
}

void log_gather(void)
{
    pthread_mutex_lock(&gathered.lock);
    gathered.on = true;
    pthread_mutex_unlock(&gathered.lock);
}

void log_flush(void)
{
    pthread_mutex_lock(&gathered.lock);
    flush_gathered();
    pthread_mutex_unlock(&gathered.lock);
}

void log_event(enum log_level level, const char *event, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if ((int)level < atomic_load(&least_level))
        return;

    struct line line;
    line.used = 0;
    char scratch[CLOCK_ISO_SIZE + 32];
    clock_iso(clock_wall_ms(), scratch);
    line_puts(&line, scratch);
    line_put(&line, ' ');
    line_puts(&line, names[level]);
    line_put(&line, ' ');
    line_puts(&line, program_name);
    line_put(&line, ' ');
    line_puts(&line, event);

    va_list args;
    va_start(args, event);
    for (const char *key; (key = va_arg(args, const char *));) {
        line_put(&line, ' ');
        line_puts(&line, key);
        line_put(&line, '=');
        switch ((enum log_type)va_arg(args, int)) {
        case LOG_S: line_put_value(&line, va_arg(args, const char *)); break;
        case LOG_I:
            scratch[buf_int_text(va_arg(args, int64_t), scratch)] = 0;
            line_puts(&line, scratch);
            break;
        case LOG_F:
            snprintf(scratch, sizeof scratch, "%.3f", va_arg(args, double));
            line_puts(&line, scratch);
            break;
        }
    }
    va_end(args);

    line.text[line.used++] = '\n';
    emit(line.text, line.used, level >= LOG_WARN);
}
