/* SPDX-License-Identifier: MIT */
#include "common/secret.h"

#include "common/base64.h"
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

/* Reads at most `size` bytes of a private file; *out_got is `size` where there may be more. */
static int read_private(const char *path, char *out, size_t size, size_t *out_got, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int missing = errno == ENOENT;
        err_set_errno(err, NULL, "secret file %s", path);
        return missing ? ERR_NOT_FOUND : ERR_IO;
    }
    int rc = 0;
    size_t got = 0;
    struct stat info;
    if (fstat(fd, &info) < 0)
        rc = err_set_errno(err, NULL, "secret file %s", path);
    else if (info.st_mode & (S_IROTH | S_IWOTH))
        rc = err_set(err, ERR_DENIED, NULL, "secret file %s is open to all users; chmod 600 %s",
                     path, path);
    while (rc == 0 && got < size) {
        ssize_t n = read(fd, out + got, size - got);
        if (n > 0)
            got += (size_t)n;
        else if (n == 0)
            break;
        else if (errno != EINTR)
            rc = err_set_errno(err, NULL, "secret file %s", path);
    }
    close(fd);
    if (rc == 0)
        *out_got = got;
    return rc;
}

int secret_read_line(const char *path, size_t min_length, char *out, size_t size, struct err *err)
{
    char text[MAX_LINE];
    size_t length = 0;
    assert(size > min_length && size <= sizeof text - 2);
    int rc = read_private(path, text, sizeof text, &length, err);
    if (rc < 0)
        goto out;
    if (length && text[length - 1] == '\n')
        length--;
    bool printable = true;
    for (size_t i = 0; i < length; i++)
        printable = printable && text[i] > ' ' && text[i] < 0x7f;
    if (!printable || length < min_length || length >= size) {
        rc = err_set(err, ERR_INVALID, NULL,
                     "secret file %s wants one line of %zu to %zu printable characters", path,
                     min_length, size - 1);
        goto out;
    }
    memcpy(out, text, length);
    out[length] = 0;
out:
    crypto_wipe(text, sizeof text);
    return rc;
}

int secret_load(const char *path, struct secret *out_secret, struct err *err)
{
    char text[2 * CRYPTO_KEY_SIZE + 2];
    size_t length = 0;
    struct secret secret;
    int rc = read_private(path, text, sizeof text, &length, err);
    if (rc < 0)
        return rc;
    if (length && text[length - 1] == '\n')
        length--;
    if (hex_decode(text, length, secret.bytes, sizeof secret.bytes) < 0)
        rc = err_set(err, ERR_INVALID, NULL, "secret file %s wants one line of %d hex digits", path,
                     2 * CRYPTO_KEY_SIZE);
    else
        *out_secret = secret;
    crypto_wipe(text, sizeof text);
    secret_wipe(&secret);
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
