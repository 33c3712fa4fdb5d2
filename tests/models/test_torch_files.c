/* SPDX-License-Identifier: MIT
 *
 * Files that PyTorch and a writer of ours make when the test runs, compared value by value with
 * what PyTorch reads back from them; and the same files cut off everywhere. */
#include "gpu/weights/weights.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/models/command.h"
#include "tests/unit/check.h"

#include <dirent.h>
#include <unistd.h>

static char folder[] = "/tmp/darkroom-torch-XXXXXX";
static bool have_torch;

static void open_file(const char *directory, const char *name, struct weights **out)
{
    char path[512];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (weights_open(path, out, &err) < 0) {
        printf("# %s: %s\n", name, err.text);
        CHECK(false);
    }
}

/* Names, types, shapes and every byte are those of FOLDER/NAME.golden. */
static void compare(const char *directory, const char *name, const char *format)
{
    char golden_name[256];
    struct weights *weights = NULL, *golden = NULL;
    snprintf(golden_name, sizeof golden_name, "%s.golden", name);
    open_file(directory, name, &weights);
    open_file(folder, golden_name, &golden);
    CHECK_TEXT(weights_format(weights), format);
    CHECK_INT(weights_count(weights), weights_count(golden));
    for (size_t i = 0; i < weights_count(golden); i++) {
        struct tensor have, want;
        CHECK_TEXT(weights_at(weights, i, &have), weights_at(golden, i, &want));
        CHECK_INT(have.type, want.type);
        CHECK(tensor_has_shape(&have, want.rank, want.dim));
        CHECK(memcmp(have.data, want.data, tensor_bytes(&want)) == 0);
    }
    weights_close(&weights);
    weights_close(&golden);
}

static void zip_files_hold_what_torch_reads_from_them(void)
{
    compare(folder, "everything.pt", "torch-zip");
    compare(folder, "ugatit.pt", "torch-zip");
    compare(folder, "rosinality.pt", "torch-zip");
    compare(folder, "tensor.pt", "torch-zip");
    compare(folder, "list.pt", "torch-zip");
    compare(folder, "protocol4.pt", "torch-zip");
}

static void the_older_stream_holds_what_torch_reads_from_it(void)
{
    compare(folder, "everything_legacy.pt", "torch-legacy");
    compare(folder, "ugatit_legacy.pt", "torch-legacy");
    compare(folder, "rosinality_legacy.pt", "torch-legacy");
    compare(folder, "tensor_legacy.pt", "torch-legacy");
    compare(folder, "list_legacy.pt", "torch-legacy");
}

static void modules_that_torch_pickles_are_read_as_their_state_dict(void)
{
    compare(folder, "snapshot3.pkl", "stylegan2-ada");
    compare(folder, "snapshot4.pkl", "stylegan2-ada");
    compare(folder, "snapshot5.pkl", "stylegan2-ada");
}

static void numbers_and_texts_beside_tensors_are_attributes(void)
{
    struct weights *weights = NULL;
    struct weights_attribute value;
    open_file(folder, "everything.pt", &weights);
    CHECK_INT(weights_attribute(weights, "epoch", &value), 0);
    CHECK(!value.text && value.number == 7);
    CHECK_INT(weights_attribute(weights, "note", &value), 0);
    CHECK_TEXT(value.text, "a text");
    CHECK_INT(weights_attribute(weights, "rate", &value), 0);
    CHECK(value.number == 0.25);
    CHECK_INT(weights_attribute(weights, "nothing", &value), ERR_NOT_FOUND);
    weights_close(&weights);
}

static void check_refused(const char *name, int code, const char *part)
{
    char path[512];
    struct weights *weights = NULL;
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_INT(weights_open(path, &weights, &err), code);
    CHECK_HAS(err.text, part);
}

static void what_cannot_be_read_is_named(void)
{
    check_refused("module.pt", ERR_UNSUPPORTED, "torch.nn.modules.container.Sequential");
    check_refused("module_legacy.pt", ERR_UNSUPPORTED, "torch.nn.modules.container.Sequential");
    check_refused("complex.pt", ERR_UNSUPPORTED, "torch.ComplexFloatStorage");
    check_refused("expanded.pt", ERR_LIMIT, "tensor e needs");
}

/* Every prefix lies in memory of exactly its size. */
static void check_prefixes(const char *name)
{
    char path[512];
    struct buf file;
    struct err err = {0};
    struct weights *weights = NULL;
    buf_init(&file, 1 << 20);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_INT(buf_read_file(&file, path, &err), 0);
    /* All cuts through what is parsed; of a longer file every seventh. */
    for (size_t cut = 0; cut<file.size; cut += file.size> 16384 ? 7 : 1) {
        unsigned char *bytes = malloc(cut ? cut : 1);
        memcpy(bytes, file.data, cut);
        err = (struct err){0};
        int rc = weights_open_memory(bytes, cut, &weights, &err);
        free(bytes);
        if (rc == 0 || !err.text[0])
            printf("# %s cut off at %zu\n", name, cut);
        CHECK(rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED);
        CHECK(err.text[0]);
    }
    buf_fini(&file);
}

static void every_prefix_of_torch_files_is_an_error_in_words(void)
{
    check_prefixes("list.pt");
    check_prefixes("list_legacy.pt");
    check_prefixes("snapshot4.pkl");
}

static void real_files_hold_what_torch_reads_from_them(void)
{
    const char *real = getenv("DARKROOM_TEST_WEIGHTS");
    compare(real, "fast_srgan_x4.pt", "torch-zip");
    compare(real, "cgan_mnist_torch.pth", "torch-zip");
}

static void stylegan_pickles_of_our_own_writer_are_read_to_the_last_value(void)
{
    compare(folder, "own3.pkl", "stylegan2-ada");
    compare(folder, "own4.pkl", "stylegan2-ada");
    compare(folder, "own_g.pkl", "stylegan2-ada");
}

static void check_number(const struct weights *weights, const char *name, double want)
{
    struct weights_attribute value = {.number = -1};
    CHECK_INT(weights_attribute(weights, name, &value), 0);
    CHECK(value.number == want);
}

static void stylegan_scalars_are_attributes_and_source_is_not_kept(void)
{
    struct weights *weights = NULL;
    struct weights_attribute value;
    open_file(folder, "own3.pkl", &weights);
    check_number(weights, "G_ema.mapping.num_layers", 2);
    check_number(weights, "G_ema.synthesis.b8.conv0.up", 2);
    check_number(weights, "G_ema.synthesis.b8.conv1.conv_clamp", 256);
    check_number(weights, "G_ema.synthesis.b8.use_fp16", 0);
    check_number(weights, "G_ema.synthesis.b8.conv1.act_gain", 1.4142135623730951);
    check_number(weights, "G_ema.img_resolution", 8);
    check_number(weights, "G_ema.synthesis.block_resolutions.1", 8);
    CHECK_INT(weights_attribute(weights, "G_ema.synthesis.class_name", &value), 0);
    CHECK_TEXT(value.text, "training.networks.SynthesisNetwork");
    for (size_t i = 0; i < weights_attribute_count(weights); i++) {
        CHECK(!strstr(weights_attribute_at(weights, i, &value), "module_src"));
        CHECK(!value.text || !strstr(value.text, "import"));
    }
    weights_close(&weights);
}

static void every_prefix_of_a_stylegan_pickle_is_an_error_in_words(void)
{
    check_prefixes("own4.pkl");
}

static void make_files(void)
{
    const char *tests = command_tests();
    const char *real = getenv("DARKROOM_TEST_WEIGHTS");
    char files[512] = "";
    if (!mkdtemp(folder))
        exit(EXIT_FAILURE);
    if (real)
        snprintf(files, sizeof files, "%s/fast_srgan_x4.pt %s/cgan_mnist_torch.pth", real, real);
    for (int protocol = 3; protocol <= 4; protocol++)
        if (command_run("python3 %s/support/stylegan_pickle.py %s/own%d.pkl --golden "
                        "%s/own%d.pkl.golden --protocol %d --place %s",
                        tests, folder, protocol, folder, protocol, protocol,
                        protocol == 3 ? "cpu" : "cuda:0 --half") != 0)
            exit(EXIT_FAILURE);
    if (command_run("python3 %s/support/stylegan_pickle.py %s/own_g.pkl --golden "
                    "%s/own_g.pkl.golden --only G",
                    tests, folder, folder) != 0)
        exit(EXIT_FAILURE);
    int status =
        command_run("%s %s/models/reference_torch.py %s %s", command_torch(), tests, folder, files);
    have_torch = status == 0;
    if (status != 0 && status != COMMAND_SKIPPED)
        exit(EXIT_FAILURE);
}

static void remove_files(void)
{
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(folder);
}

int main(void)
{
    make_files();
    RUN(stylegan_pickles_of_our_own_writer_are_read_to_the_last_value);
    RUN(stylegan_scalars_are_attributes_and_source_is_not_kept);
    RUN(every_prefix_of_a_stylegan_pickle_is_an_error_in_words);
    if (have_torch) {
        RUN(zip_files_hold_what_torch_reads_from_them);
        RUN(the_older_stream_holds_what_torch_reads_from_it);
        RUN(modules_that_torch_pickles_are_read_as_their_state_dict);
        RUN(numbers_and_texts_beside_tensors_are_attributes);
        RUN(what_cannot_be_read_is_named);
        RUN(every_prefix_of_torch_files_is_an_error_in_words);
    } else {
        printf("# SKIP: no PyTorch for python3\n");
    }
    if (have_torch && getenv("DARKROOM_TEST_WEIGHTS"))
        RUN(real_files_hold_what_torch_reads_from_them);
    else
        printf("# SKIP: DARKROOM_TEST_WEIGHTS names no folder of real weights\n");
    remove_files();
    return check_report();
}
