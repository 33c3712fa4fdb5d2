/* SPDX-License-Identifier: MIT
 *
 *     engine-bench MODEL [OPTIONS]
 *
 * `darkroom-worker bench` by itself, for run.sh. */
#include "common/err.h"
#include "common/memory.h"
#include "worker/bench.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct err err = {0};
    memory_keep_tidy();
    int rc = bench_command(argc, argv, &err);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    return err_exit_status(rc);
}
