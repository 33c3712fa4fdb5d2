/* SPDX-License-Identifier: MIT */
#include "common/secret.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINE 4096

int secret_read_file(const char *path, struct buf *out, struct err *err)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return err_set_open(err, NULL, "secret file %s", path);
    if (info.st_mode & (S_IROTH | S_IWOTH))
        return err_set(err, ERR_DENIED, NULL, "secret file %s is open to all users; chmod 600 %s",
                       path, path);
    return buf_read_file(out, path, err);
}

/* The file's text, at most `max` bytes, without its final newline. */
static int read_text(const char *path, size_t max, struct buf *out, struct err *err)
{
    buf_init(out, max + 1);
    int rc = secret_read_file(path, out, err);
    for (const char *end = "\n\r"; rc == 0 && *end; end++)
        if (out->size && out->data[out->size - 1] == *end)
            out->data[--out->size] = 0;
    return rc;
}

static void wipe_text(struct buf *text)
{
    secret_wipe_buf(text);
    buf_fini(text);
}

int secret_read_line(const char *path, size_t min_length, char *out, size_t size, struct err *err)
{
    struct buf text;
    assert(size > min_length);
    int rc = read_text(path, MAX_LINE, &text, err);
    if (rc < 0)
        goto out;
    bool printable = true;
    for (size_t i = 0; i < text.size; i++)
        printable = printable && text.data[i] > ' ' && text.data[i] < 0x7f;
    if (!printable || text.size < min_length || text.size >= size) {
        rc = err_set(err, ERR_CORRUPT, NULL,
                     "secret file %s wants one line of %zu to %zu printable characters", path,
                     min_length, size - 1);
        goto out;
    }
    memcpy(out, buf_text(&text), text.size + 1);
out:
    wipe_text(&text);
    return rc;
}

int secret_load(const char *path, struct secret *out_secret, struct err *err)
{
    struct buf text;
    struct secret secret;
    int rc = read_text(path, MAX_LINE, &text, err);
    if (rc < 0)
        goto out;
    rc = hex_decode(buf_text(&text), text.size, secret.bytes, sizeof secret.bytes);
    if (rc < 0)
        rc = err_set(err, ERR_CORRUPT, NULL, "secret file %s wants one line of %d hex digits", path,
                     2 * CRYPTO_KEY_SIZE);
    else
        *out_secret = secret;
    secret_wipe(&secret);
out:
    wipe_text(&text);
    return rc;
}

/* Writes the text durably into a new file. */
static int write_new(const char *path, const char *text, size_t size, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return err_set_errno(err, NULL, "secret file %s", path);
    int rc = 0;
    /* A few bytes into an empty file: a short write means a full disk. */
    if (write(fd, text, size) != (ssize_t)size || fsync(fd) < 0)
        rc = err_set_errno(err, NULL, "secret file %s", path);
    if (close(fd) < 0 && rc == 0)
        rc = err_set_errno(err, NULL, "secret file %s", path);
    return rc;
}

int secret_create_file(const char *path, struct err *err)
{
    struct secret secret;
    char text[2 * CRYPTO_KEY_SIZE + 2], scratch[PATH_MAX];
    int rc = crypto_random(secret.bytes, sizeof secret.bytes);
    if (rc < 0)
        return err_set(err, rc, NULL, "no randomness for a secret");
    hex_encode(secret.bytes, sizeof secret.bytes, text);
    text[sizeof text - 2] = '\n';
    if (snprintf(scratch, sizeof scratch, "%s.new.%ld", path, (long)getpid()) >=
        (int)sizeof scratch) {
        rc = err_set(err, ERR_LIMIT, NULL, "secret file %s: the path is too long", path);
        goto out;
    }
    rc = write_new(scratch, text, sizeof text - 1, err);
    /* link() and not rename(): of two programs that start at once, one must lose, not overwrite
     * the secret under which the other has already signed. */
    if (rc == 0 && link(scratch, path) < 0) {
        int taken = errno == EEXIST;
        rc = err_set_errno(err, NULL, "secret file %s", path);
        rc = taken ? ERR_CONFLICT : rc;
    }
    unlink(scratch);
out:
    crypto_wipe(text, sizeof text);
    secret_wipe(&secret);
    return rc;
}

int secret_derive(const struct secret *secret, const char *label,
                  unsigned char out_key[CRYPTO_KEY_SIZE])
{
    return crypto_derive(secret->bytes, sizeof secret->bytes, label, out_key);
}

int secret_mac(const struct secret *secret, const char *label, struct crypto_mac **out_mac)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    int rc = secret_derive(secret, label, key);
    if (rc == 0)
        rc = crypto_mac_create(key, sizeof key, out_mac);
    crypto_wipe(key, sizeof key);
    return rc;
}

void secret_wipe(struct secret *secret)
{
    crypto_wipe(secret, sizeof *secret);
}

void secret_wipe_buf(struct buf *buf)
{
    if (buf->data)
        crypto_wipe(buf->data, buf->capacity);
    buf_clear(buf);
}
