/* SPDX-License-Identifier: MIT
 *
 * TensorFlow's checkpoints against a writer in Python, whole, cut off and damaged. */
#include "gpu/weights/leveldb.h"
#include "gpu/weights/weights.h"

#include "common/err.h"
#include "tests/models/command.h"
#include "tests/unit/check.h"

#include <unistd.h>

static char folder[] = "/tmp/darkroom-bundle-XXXXXX";
static char prefix[64], index_path[80];

/* Leaves a checkpoint at `prefix`. */
static void write_bundle(const char *options)
{
    CHECK_INT(command_run("rm -f %s/*; python3 %s/support/tensor_bundle.py %s %s", folder,
                          command_tests(), prefix, options),
              0);
}

static int open_bundle(struct err *err)
{
    struct weights *weights = NULL;
    *err = (struct err){0};
    int rc = weights_open(prefix, &weights, err);
    CHECK((rc == 0) == (weights != NULL) && (rc == 0 || err->text[0]));
    weights_close(&weights);
    return rc;
}

static double value(const struct weights *weights, const char *name, int64_t index)
{
    struct tensor t;
    float got;
    CHECK_INT(weights_find(weights, name, &t), 0);
    tensor_part_to_f32(&t, index, 1, &got);
    return (double)got;
}

static void has_all_tensors(const char *path)
{
    static const char *const types[] = {"f64", "f16", "bf16", "i32", "i16", "i8"};
    struct weights *weights = NULL;
    struct tensor t;
    struct err err = {0};
    char name[64];
    CHECK_INT(weights_open(path, &weights, &err), 0);
    CHECK_TEXT(weights_format(weights), "tensorflow-bundle");
    CHECK_INT(weights_count(weights), 2 * 40 + 2 + 8); /* without the text */
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "generator_B/resblock_%d/res1/conv_0/conv2d/kernel", i);
        CHECK_INT(weights_require(weights, name, 3, (const int64_t[]){1, 2, 3}, &t, &err), 0);
        for (int j = 0; j < 6; j++)
            CHECK(value(weights, name, j) == i + j / 8.0);
    }
    CHECK(value(weights, "beta1_power", 0) == 0.5);
    CHECK(value(weights, "global_step", 0) == -5);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "types/%s", types[i]);
        CHECK(value(weights, name, 1) == -2);
    }
    CHECK(value(weights, "types/u8", 0) == 250);
    CHECK(value(weights, "types/bool", 1) == 1);
    weights_close(&weights);
}

static void every_tensor_is_found_whatever_the_blocks_and_shards(void)
{
    write_bundle("");
    has_all_tensors(prefix);
    has_all_tensors(index_path);
    write_bundle("--block 1 --shards 3");
    has_all_tensors(prefix);
    write_bundle("--block 300 --shards 2");
    has_all_tensors(prefix);
}

static void checksums_are_those_of_the_published_vectors(void)
{
    /* RFC 3720, B.4: 32 zeros and 32 bytes of 0xff; masked as LevelDB stores them. */
    unsigned char bytes[32] = {0};
    uint32_t crc = 0x8a9136aa;
    CHECK_INT(leveldb_masked_crc(bytes, 32), (crc >> 15 | crc << 17) + 0xa282ead8);
    memset(bytes, 0xff, 32);
    crc = 0x62a8ab43;
    CHECK_INT(leveldb_masked_crc(bytes, 32), (crc >> 15 | crc << 17) + 0xa282ead8);
}

static long size_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}

static void every_prefix_of_the_index_is_an_error_in_words(void)
{
    struct err err;
    write_bundle("--block 300 --shards 2");
    for (long size = size_of(index_path) - 1; size >= 0; size--) {
        CHECK_INT(truncate(index_path, size), 0);
        CHECK_INT(open_bundle(&err), ERR_CORRUPT);
    }
}

static void damage_anywhere_in_the_index_is_noticed(void)
{
    struct err err;
    write_bundle("--block 300");
    const long size = size_of(index_path);
    int survived = 0;
    for (long at = 0; at < size; at++) {
        FILE *file = fopen(index_path, "r+b");
        fseek(file, at, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(byte ^ 1 << at % 8, file);
        fflush(file);
        if (open_bundle(&err) == 0) { /* what nobody reads: an empty block, filling */
            survived++;
            has_all_tensors(prefix);
        }
        fseek(file, at, SEEK_SET);
        fputc(byte, file);
        fclose(file);
    }
    CHECK(survived < 60);
    has_all_tensors(prefix);
}

static void a_data_file_that_is_cut_off_or_missing_is_named(void)
{
    struct err err;
    char path[96];
    write_bundle("--shards 2");
    snprintf(path, sizeof path, "%s.data-00001-of-00002", prefix);
    CHECK_INT(truncate(path, size_of(path) - 1), 0);
    CHECK_INT(open_bundle(&err), ERR_CORRUPT);
    CHECK_HAS(err.text, "data file 1");
    CHECK_HAS(err.text, "cut off");
    unlink(path);
    CHECK_INT(open_bundle(&err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "data-00001-of-00002");
    unlink(index_path);
    CHECK_INT(open_bundle(&err), ERR_NOT_FOUND);
}

static void what_we_do_not_read_is_said(void)
{
    struct err err;
    write_bundle("--type C64");
    CHECK_INT(open_bundle(&err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "tensor extra has TensorFlow's type 8");
    write_bundle("--type F64");
    CHECK_INT(open_bundle(&err), 0);
    write_bundle("--compression 1");
    CHECK_INT(open_bundle(&err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "compressed");
    write_bundle("--endianness 1");
    CHECK_INT(open_bundle(&err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "big-endian");
    unsigned char bytes[8192];
    FILE *file = fopen(index_path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    struct weights *weights = NULL;
    CHECK_INT(weights_open_memory(bytes, size, &weights, NULL), ERR_UNSUPPORTED);
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(prefix, sizeof prefix, "%s/UGATIT.model-1000", folder);
    snprintf(index_path, sizeof index_path, "%s.index", prefix);
    RUN(checksums_are_those_of_the_published_vectors);
    RUN(every_tensor_is_found_whatever_the_blocks_and_shards);
    RUN(every_prefix_of_the_index_is_an_error_in_words);
    RUN(damage_anywhere_in_the_index_is_noticed);
    RUN(a_data_file_that_is_cut_off_or_missing_is_named);
    RUN(what_we_do_not_read_is_said);
    command_run("rm -r %s", folder);
    return check_report();
}
