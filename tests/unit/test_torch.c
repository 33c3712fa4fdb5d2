/* SPDX-License-Identifier: MIT
 *
 * torch.save's older stream and StyleGAN2-ADA's pickles, written by hand and against the rules.
 * What real writers make is in tests/models/test_torch_files.c. */
#include "gpu/weights/weights.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

#define LITERAL(text) (text), sizeof(text) - 1

/* A storage "0" of `type` with six values, and what is built on it. */
#define STORAGE(type)                                                                              \
    "(X\7\0\0\0storagectorch\n" type "Storage\nX\1\0\0\0"                                          \
    "0X\3\0\0\0cpuK\6NtQ"
#define TENSOR_OF(storage, offset, sizes, strides)                                                 \
    "ctorch._utils\n_rebuild_tensor_v2\n(" storage "K" offset sizes strides "\x89NtR"
#define TENSOR(offset, sizes, strides) TENSOR_OF(STORAGE("Float"), offset, sizes, strides)
#define WHOLE TENSOR("\0", "K\2K\3\x86", "K\3K\1\x86")
#define KEY(name) "X\1\0\0\0" name
#define DICT(entries) "\x80\2}(" entries "u."

static struct weights *weights;
static unsigned char *held; /* what it was opened from, of exactly its size */
static struct err err;
static uint64_t announced = 6; /* values of the storage, or bytes where it has no type */

static int open_bytes(const void *data, size_t size)
{
    weights_close(&weights);
    err = (struct err){0};
    free(held);
    held = malloc(size);
    memcpy(held, data, size);
    return weights_open_memory(held, size, &weights, &err);
}

/* The stream around one pickle: magic number, version, machine, object, keys, six values 0 to 5. */
static int open_legacy(const char *object, size_t object_size, const char *machine,
                       size_t machine_size)
{
    struct buf file;
    buf_init(&file, 1 << 20);
    buf_append(&file, LITERAL("\x80\2\x8a\x0al\xfc\x9c"
                              "F\xf9 j\xa8P\x19.\x80\2M\xe9\3."));
    buf_append(&file, machine, machine_size);
    buf_append(&file, object, object_size);
    buf_append(&file, LITERAL("\x80\2]X\1\0\0\0"
                              "0a."));
    buf_append(&file, &announced, sizeof announced);
    for (int i = 0; i < 6; i++) {
        float value = (float)i;
        buf_append(&file, &value, sizeof value);
    }
    int rc = open_bytes(file.data, file.size);
    buf_fini(&file);
    return rc;
}

#define OPEN(object) open_legacy(LITERAL(object), LITERAL("\x80\2}."))

static void check_values(const char *name, size_t count, const float *want)
{
    struct tensor tensor;
    float have[16];
    CHECK_INT(weights_find(weights, name, &tensor), 0);
    CHECK_INT(tensor_count(&tensor), count);
    tensor_to_f32(&tensor, have);
    for (size_t i = 0; i < count; i++)
        CHECK(have[i] == want[i]);
}

static void check_refused(int rc, int code, const char *part)
{
    CHECK_INT(rc, code);
    CHECK_HAS(err.text, part);
}

static void strides_are_packed_in_the_order_of_indices(void)
{
    CHECK_INT(OPEN(DICT(KEY("a") WHOLE KEY("b") TENSOR("\0", "K\3K\2\x86", "K\1K\3\x86") KEY("c")
                            TENSOR("\1", "K\2K\3\x86", "K\0K\2\x86"))),
              0);
    CHECK_TEXT(weights_format(weights), "torch-legacy");
    check_values("a", 6, (const float[]){0, 1, 2, 3, 4, 5});
    check_values("b", 6, (const float[]){0, 3, 1, 4, 2, 5});
    check_values("c", 6, (const float[]){1, 3, 5, 1, 3, 5});
}

static void tensors_beyond_their_storage_are_refused(void)
{
    check_refused(OPEN(DICT(KEY("a") TENSOR("\1", "K\2K\3\x86", "K\3K\1\x86"))), ERR_CORRUPT,
                  "tensor a reaches beyond its storage of 6 values");
    check_refused(OPEN(DICT(KEY("a") TENSOR("\0", "K\2K\3\x86", "K\4K\1\x86"))), ERR_CORRUPT,
                  "reaches beyond");
    check_refused(OPEN(DICT(KEY("a") TENSOR("\0", "K\2\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86",
                                            "K\3K\1\x86"))),
                  ERR_CORRUPT, "dimension 1");
    check_refused(OPEN(DICT(KEY("a") TENSOR("\0", "K\3K\3\x86",
                                            "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\1\x86"))),
                  ERR_CORRUPT, "reaches beyond");
    check_refused(OPEN(DICT(KEY("a") TENSOR("\0", "K\2K\3\x86", "J\xff\xff\xff\xffK\1\x86"))),
                  ERR_CORRUPT, "dimension 0");
    check_refused(OPEN(DICT(KEY("a") TENSOR("\0", "K\2K\3\x86", "K\1\x85"))), ERR_CORRUPT,
                  "no sizes");
    check_refused(OPEN(DICT(KEY("a") TENSOR("\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t",
                                            "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
                  ERR_UNSUPPORTED, "9 dimensions");
}

static void expanding_past_a_multiple_of_the_file_is_refused(void)
{
    check_refused(OPEN(DICT(KEY("a") TENSOR("\0", "J\0\0\0\1K\1\x86", "K\0K\1\x86"))), ERR_LIMIT,
                  "tensor a needs 67108864 bytes");
}

static void empty_tensors_are_left_out(void)
{
    CHECK_INT(OPEN(DICT(KEY("a") WHOLE KEY("b") TENSOR("\0", "K\0K\3\x86", "K\3K\1\x86"))), 0);
    CHECK_INT(weights_count(weights), 1);
}

static void the_views_of_older_streams_have_their_offset(void)
{
    CHECK_INT(OPEN(DICT(KEY("a") TENSOR_OF("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                                           "0X\3\0\0\0cpuK\6(X\1\0\0\0"
                                           "1K\2K\3ttQ",
                                           "\1", "K\2\x85", "K\1\x85"))),
              0);
    check_values("a", 2, (const float[]){3, 4});
    check_refused(OPEN(DICT(KEY("a") TENSOR_OF("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                                               "0X\3\0\0\0cpuK\6(X\1\0\0\0"
                                               "1K\2K\5ttQ",
                                               "\0", "K\2\x85", "K\1\x85"))),
                  ERR_CORRUPT, "outside its storage");
}

static void what_would_run_code_is_inert_and_named_where_it_is_needed(void)
{
#define SYSTEM "cos\nsystem\nX\x13\0\0\0touch /tmp/darkroom\x85R"
    /* Beside tensors it does not matter. */
    CHECK_INT(OPEN(DICT(KEY("x") SYSTEM KEY("a") WHOLE)), 0);
    CHECK_INT(weights_count(weights), 1);
    check_refused(OPEN(DICT(KEY("a") TENSOR_OF(SYSTEM "0" STORAGE("Float"), "\0", SYSTEM, ")"))),
                  ERR_CORRUPT, "tensor a has no sizes");
    check_refused(OPEN(DICT(KEY("x") WHOLE KEY("a") TENSOR_OF(SYSTEM, "\0", ")", ")"))),
                  ERR_UNSUPPORTED, "os.system");
    check_refused(open_bytes(LITERAL("\x80\3" SYSTEM ".")), ERR_UNSUPPORTED,
                  "without running os.system");
    check_refused(open_bytes(LITERAL("\x80\3"
                                     "cbuiltins\neval\nX\4\0\0\0exit\x85R.")),
                  ERR_UNSUPPORTED, "without running builtins.eval");
#undef SYSTEM
}

static void storages_of_bytes_take_the_type_of_their_tensor(void)
{
#define UNTYPED(dtype)                                                                             \
    "ctorch._utils\n_rebuild_tensor_v3\n((X\7\0\0\0storagectorch.storage\nUntypedStorage\n"        \
    "X\1\0\0\0"                                                                                    \
    "0X\3\0\0\0cpuK\x18NtQK\1K\5\x85K\1\x85\x89Nctorch\n" dtype "\ntR"
    announced = 24;
    CHECK_INT(OPEN(DICT(KEY("a") UNTYPED("float32"))), 0);
    check_values("a", 5, (const float[]){1, 2, 3, 4, 5});
    check_refused(OPEN(DICT(KEY("a") UNTYPED("float64"))), ERR_CORRUPT, "storage of 3 values");
    check_refused(OPEN(DICT(KEY("a") UNTYPED("float8_e4m3fn"))), ERR_UNSUPPORTED,
                  "torch.float8_e4m3fn");
    announced = 6;
#undef UNTYPED
}

static void a_storage_of_an_unknown_type_is_named(void)
{
    check_refused(OPEN(DICT(KEY("a") TENSOR_OF(STORAGE("QInt8"), "\0", "K\2\x85", "K\1\x85"))),
                  ERR_UNSUPPORTED, "torch.QInt8Storage");
}

static void streams_that_contradict_themselves_are_refused(void)
{
    check_refused(open_legacy(LITERAL(DICT(KEY("a") WHOLE)),
                              LITERAL("\x80\2}X\x0d\0\0\0little_endian\x89s.")),
                  ERR_UNSUPPORTED, "big-endian");
    check_refused(OPEN(DICT(KEY("a") TENSOR_OF(STORAGE("Double"), "\0", ")", ")"))), ERR_CORRUPT,
                  "cut off within storage 1 of 1");
    check_refused(OPEN("\x80\2}."), ERR_CORRUPT, "list of storages");
    check_refused(
        OPEN(DICT(KEY("a") WHOLE KEY("b") TENSOR_OF(STORAGE("Int"), "\0", "K\2\x85", "K\1\x85"))),
        ERR_CORRUPT, "two types");
    check_refused(OPEN(DICT(KEY("a") WHOLE KEY("a") WHOLE)), ERR_CORRUPT, "two tensors");
    check_refused(OPEN(DICT("X\2\0\0\0\n\x1b" WHOLE)), ERR_CORRUPT, "control characters");
    check_refused(OPEN(DICT(KEY("\0") WHOLE)), ERR_CORRUPT, "zero byte");
    check_refused(OPEN(DICT(KEY("\xff") WHOLE)), ERR_CORRUPT, "UTF-8");
}

static void dicts_that_hold_themselves_end_in_words(void)
{
    check_refused(OPEN(DICT(KEY("a") WHOLE KEY("b") "}q\1(" KEY("c") "h\1u")), ERR_LIMIT, "name");
    check_refused(OPEN(DICT(KEY("a") WHOLE KEY("b") "]q\1h\1a")), ERR_LIMIT, "name");
}

/* A list of ten references to a list of ten references to …, 40 deep. */
static void a_billion_references_end_in_words(void)
{
    unsigned char bomb[2048];
    size_t size = 0;
#define PUT(literal)                                                                               \
    (memcpy(bomb + size, (literal), sizeof(literal) - 1), size += sizeof(literal) - 1)
    PUT("\x80\3)q\0");
    for (int i = 0; i < 40; i++) {
        PUT("](");
        for (int k = 0; k < 10; k++) {
            PUT("h");
            bomb[size++] = (unsigned char)i;
        }
        PUT("eq");
        bomb[size++] = (unsigned char)(i + 1);
    }
    PUT(".");
#undef PUT
    check_refused(open_bytes(bomb, size), ERR_LIMIT, "repeat without end");
}

static void other_kinds_of_files_are_named(void)
{
    char tar[512] = "pickle";
    memcpy(tar + 257, "ustar", 5);
    check_refused(open_bytes(tar, sizeof tar), ERR_UNSUPPORTED, "tar file");
    check_refused(open_bytes(LITERAL("(dp0\nS'a'\np1\nI1\ns.")), ERR_UNSUPPORTED,
                  "protocol 0 or 1");
    check_refused(open_bytes(LITERAL("}q\0X\1\0\0\0aK\1s.")), ERR_UNSUPPORTED, "protocol 0 or 1");
    check_refused(
        open_bytes(LITERAL("\x80\3("
                           "cdnnlib.tflib.network\nNetwork\nq\0)\x81}bh\0)\x81h\0)\x81t.")),
        ERR_UNSUPPORTED, "StyleGAN pickle for TensorFlow");
    check_refused(open_bytes(LITERAL("\x80\3}.")), ERR_UNSUPPORTED, "holds no tensors");
    check_refused(open_bytes(LITERAL("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
                  ERR_UNSUPPORTED, "without data.pkl");
}

static void modules_without_a_state_are_refused(void)
{
#define MODULE(meta) "ctorch_utils.persistence\n_reconstruct_persistent_obj\n" meta "\x85R"
    check_refused(open_bytes(LITERAL("\x80\3}X\5\0\0\0G_ema" MODULE("}") "s.")), ERR_CORRUPT,
                  "no state");
    /* A module that is its own child, without a name between them. */
    check_refused(open_bytes(LITERAL("\x80\3}X\5\0\0\0G_ema" MODULE(
                      "}X\5\0\0\0state}q\2s") "q\3h\2X\x08\0\0\0_modulesh\3s0s.")),
                  ERR_LIMIT, "nested too deep");
#undef MODULE
}

int main(void)
{
    RUN(strides_are_packed_in_the_order_of_indices);
    RUN(tensors_beyond_their_storage_are_refused);
    RUN(expanding_past_a_multiple_of_the_file_is_refused);
    RUN(empty_tensors_are_left_out);
    RUN(the_views_of_older_streams_have_their_offset);
    RUN(what_would_run_code_is_inert_and_named_where_it_is_needed);
    RUN(storages_of_bytes_take_the_type_of_their_tensor);
    RUN(a_storage_of_an_unknown_type_is_named);
    RUN(streams_that_contradict_themselves_are_refused);
    RUN(dicts_that_hold_themselves_end_in_words);
    RUN(a_billion_references_end_in_words);
    RUN(other_kinds_of_files_are_named);
    RUN(modules_without_a_state_are_refused);
    weights_close(&weights);
    free(held);
    return check_report();
}
