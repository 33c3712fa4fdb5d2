/* SPDX-License-Identifier: MIT */
#include "common/buf.h"

#include "common/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void buf_init(struct buf *buf, size_t max_size)
{
    *buf = (struct buf){.max_size = max_size};
}

void buf_fini(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.max_size = buf->max_size};
}

void buf_clear(struct buf *buf)
{
    buf_truncate(buf, 0);
}

void buf_truncate(struct buf *buf, size_t size)
{
    assert(size <= buf->size);
    buf->size = size;
    if (buf->data)
        buf->data[size] = 0;
}

int buf_reserve(struct buf *buf, size_t extra)
{
    if (extra > buf->max_size - buf->size)
        return ERR_LIMIT;
    size_t need = buf->size + extra + 1;
    if (need <= buf->capacity)
        return 0;
    size_t capacity = buf->capacity ? buf->capacity : 64;
    while (capacity < need)
        capacity += capacity / 2 + 1;
    if (capacity > buf->max_size + 1)
        capacity = buf->max_size + 1;
    unsigned char *data = realloc(buf->data, capacity);
    if (!data)
        return ERR_NOMEM;
    data[buf->size] = 0;
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

/* For this file, that is without a call: most of what is written is a few bytes that fit. */
static inline int append(struct buf *buf, const void *data, size_t size)
{
    int rc = size < buf->capacity - buf->size ? 0 : buf_reserve(buf, size);
    if (rc < 0)
        return rc;
    if (size)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = 0;
    return 0;
}

int buf_append(struct buf *buf, const void *data, size_t size)
{
    return append(buf, data, size);
}

int buf_append_text(struct buf *buf, const char *text)
{
    return append(buf, text, strlen(text));
}

size_t buf_int_text(int64_t value, char out[BUF_INT_SIZE])
{
    char digits[BUF_INT_SIZE];
    size_t at = sizeof digits;
    /* Negated in unsigned: the least value has no positive twin. */
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        digits[--at] = '-';
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

int buf_append_int(struct buf *buf, int64_t value)
{
    char text[BUF_INT_SIZE];
    return append(buf, text, buf_int_text(value, text));
}

int buf_join(struct buf *buf, const char *first, ...)
{
    size_t before = buf->size;
    va_list args;
    va_start(args, first);
    int rc = 0;
    for (const char *text = first; text && rc == 0; text = va_arg(args, const char *))
        rc = append(buf, text, strlen(text));
    va_end(args);
    if (rc < 0)
        buf_truncate(buf, before);
    return rc;
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return ERR_INTERNAL;
    int rc = buf_reserve(buf, (size_t)length);
    if (rc < 0)
        return rc;
    va_start(args, format);
    vsnprintf((char *)buf->data + buf->size, (size_t)length + 1, format, args);
    va_end(args);
    buf->size += (size_t)length;
    return 0;
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? (const char *)buf->data : "";
}

void *buf_steal(struct buf *buf, size_t *out_size)
{
    void *data = buf->data;
    *out_size = buf->size;
    *buf = (struct buf){.max_size = buf->max_size};
    return data;
}

int buf_read_file(struct buf *buf, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_open(err, NULL, "%s", path);
    char chunk[65536];
    int rc = 0;
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = err_set_errno(err, NULL, "%s", path);
        else if (got > 0 && (rc = buf_append(buf, chunk, (size_t)got)) == ERR_LIMIT)
            err_set(err, rc, NULL, "%s is larger than %zu bytes", path, buf->max_size);
        if (got <= 0 || rc < 0)
            break;
    }
    close(fd);
    return rc;
}
