/* SPDX-License-Identifier: MIT
 *
 * A growing byte buffer that cannot be made without a maximum.
 *
 *     struct buf body;
 *     buf_init(&body, MAX_BODY_BYTES);
 *     if (buf_append(&body, chunk, n) < 0) ...   // ERR_LIMIT or ERR_NOMEM, contents unchanged
 *     buf_fini(&body);
 *
 * The bytes are always followed by a zero that does not count, so that text can be read in place.
 * Belongs to one thread. */
#ifndef DARKROOM_COMMON_BUF_H
#define DARKROOM_COMMON_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    unsigned char *data; /* owned; NULL while empty */
    size_t size;
    size_t capacity;
    size_t max_size;
};

void buf_init(struct buf *buf, size_t max_size);
void buf_fini(struct buf *buf);  /* frees and empties; harmless twice */
void buf_clear(struct buf *buf); /* size 0, memory kept */
/* Back to `size`, which is not above the present one; takes back what a failed writer appended. */
void buf_truncate(struct buf *buf, size_t size);

/* Makes room for `extra` more bytes. ERR_LIMIT past max_size, ERR_NOMEM. */
int buf_reserve(struct buf *buf, size_t extra);
int buf_append(struct buf *buf, const void *data, size_t size);
int buf_append_text(struct buf *buf, const char *text);
int buf_append_int(struct buf *buf, int64_t value);
/* The digits alone, without a terminator; gives their number. */
#define BUF_INT_SIZE 20
size_t buf_int_text(int64_t value, char out[BUF_INT_SIZE]);
/* Texts up to the NULL at the end, one after the other, in a tenth of buf_printf()'s time. */
int buf_join(struct buf *buf, const char *first, ...) __attribute__((sentinel));
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The contents as text; "" while empty. Borrowed until the next call that changes the buffer. */
const char *buf_text(const struct buf *buf);

/* Hands the memory to the caller (free()) and empties the buffer. NULL only while empty. */
void *buf_steal(struct buf *buf, size_t *out_size);

/* Reads a whole file; ERR_LIMIT if it does not fit, ERR_NOT_FOUND, ERR_IO. */
struct err;
int buf_read_file(struct buf *buf, const char *path, struct err *err);

#endif
