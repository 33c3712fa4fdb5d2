/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the index of a TensorFlow checkpoint beside a file of 4096 values. Where the first
 * byte is even the rest is the whole index; where it is odd, the entries of its one block, to which
 * the checksums, the block of blocks and the footer are added here: no mutation would find those.
 */
#include "common/buf.h"
#include "gpu/weights/leveldb.h"

#include "tests/fuzz/weights_target.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define DATA_BYTES 4096

static char folder[] = "/tmp/darkroom-fuzz-XXXXXX";
static char index_path[64], data_path[64];

static void remove_files(void)
{
    unlink(index_path);
    unlink(data_path);
    rmdir(folder);
}

static void write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

static void make_folder(void)
{
    static const unsigned char values[DATA_BYTES];
    if (index_path[0])
        return;
    fuzz_check(mkdtemp(folder) != NULL);
    snprintf(index_path, sizeof index_path, "%s/x.index", folder);
    snprintf(data_path, sizeof data_path, "%s/x.data-00000-of-00001", folder);
    write_file(data_path, values, sizeof values);
    atexit(remove_files);
}

static void append_number(struct buf *buf, uint64_t value, int width)
{
    for (int i = 0; i < width; i++)
        buf_append(buf, &(unsigned char){(unsigned char)(value >> 8 * i)}, 1);
}

static void append_varint(struct buf *buf, uint64_t value)
{
    for (; value > 127; value >>= 7)
        append_number(buf, (value & 127) | 128, 1);
    append_number(buf, value, 1);
}

/* One block with one restart point; its handle is appended to `handle`. */
static void append_block(struct buf *file, const void *entries, size_t size, struct buf *handle)
{
    size_t start = file->size;
    buf_append(file, entries, size);
    append_number(file, 0, 4);
    append_number(file, 1, 4);
    append_varint(handle, start);
    append_varint(handle, file->size - start);
    append_number(file, 0, 1); /* not compressed */
    append_number(file, leveldb_masked_crc(file->data + start, file->size - start), 4);
}

static void append_table(struct buf *file, const uint8_t *entries, size_t size)
{
    struct buf handle, index, footer;
    buf_init(&handle, 64);
    buf_init(&index, 128);
    buf_init(&footer, 64);
    append_block(file, entries, size, &handle);
    append_varint(&index, 0);
    append_varint(&index, 1);
    append_varint(&index, handle.size);
    append_number(&index, 0xff, 1); /* a key behind all others */
    buf_append(&index, handle.data, handle.size);
    append_number(&footer, 0, 2); /* no block of other things */
    append_block(file, index.data, index.size, &footer);
    buf_append(&footer, (const unsigned char[40]){0}, 40 - footer.size);
    append_number(&footer, 0xdb4775248b80fb57, 8);
    buf_append(file, footer.data, footer.size);
    buf_fini(&handle);
    buf_fini(&index);
    buf_fini(&footer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weights *weights = NULL;
    struct err err = {0};
    struct buf file;
    if (size == 0)
        return 0;
    make_folder();
    buf_init(&file, size + 256);
    if (data[0] % 2)
        append_table(&file, data + 1, size - 1);
    else
        buf_append(&file, data + 1, size - 1);
    write_file(index_path, file.data, file.size);
    buf_fini(&file);
    int rc = weights_open(index_path, &weights, &err);
    fuzz_check(rc == 0 || (!weights && err.text[0]));
    if (rc == 0)
        fuzz_read_weights(weights);
    weights_close(&weights);
    return 0;
}
