/* SPDX-License-Identifier: MIT
 *
 * U-GAT-IT from the files that PyTorch's training saves, against the same tensors in our own
 * format. */
#include "gpu/model.h"

#include "common/err.h"
#include "tests/models/command.h"
#include "tests/unit/check.h"

#include <unistd.h>

static char folder[] = "/tmp/darkroom-ugatit-XXXXXX";

enum { SIDE = 20, VALUES = 3 * SIDE * SIDE };

/* What a part of a file in the folder makes of a fixed picture. */
static void run_part(const char *file, const char *part, float out[VALUES])
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    float in[VALUES];
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    for (int i = 0; i < VALUES; i++)
        in[i] = (float)(i * 7919 % 2001) / 1000.0f - 1.0f;
    options.device = MODEL_CPU;
    options.size = SIDE;
    options.part = part;
    options.variant = "pytorch";
    int rc = model_open(path, &options, &model, &err);
    if (rc == 0)
        rc = model_run(model, 1, in, out, &err);
    if (rc < 0)
        printf("# %s: %s\n", file, err.text);
    model_close(&model);
    CHECK_INT(rc, 0);
}

static void pytorch_s_own_files_give_the_bytes_of_our_format(void)
{
    static const char *const files[] = {"zip.pt", "legacy.pt"};
    float first[VALUES], second[VALUES], got[VALUES];
    for (int seed = 1; seed <= 2; seed++)
        CHECK_INT(command_run("python3 %s/support/random_ugatit.py %s/%d --seed %d --channels 4",
                              command_tests(), folder, seed, seed),
                  0);
    for (int i = 0; i < 2; i++) {
        int status =
            command_run("%s %s/support/torch_dict.py %s/%s genA2B=%s/1 genB2A=%s/2 disGA=%s/1"
                        "%s",
                        command_torch(), command_tests(), folder, files[i], folder, folder, folder,
                        i ? " --legacy" : "");
        if (status == COMMAND_SKIPPED)
            check_skip("python3-torch is not installed");
        CHECK_INT(status, 0);
    }
    run_part("1", NULL, first);
    run_part("2", NULL, second);
    CHECK(memcmp(first, second, sizeof first) != 0);
    for (int i = 0; i < 2; i++) {
        run_part(files[i], NULL, got);
        CHECK(memcmp(got, first, sizeof got) == 0);
        run_part(files[i], "genA2B", got);
        CHECK(memcmp(got, first, sizeof got) == 0);
        run_part(files[i], "genB2A", got);
        CHECK(memcmp(got, second, sizeof got) == 0);
    }
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    RUN(pytorch_s_own_files_give_the_bytes_of_our_format);
    command_run("rm -r %s", folder);
    return check_report();
}
