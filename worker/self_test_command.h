/* SPDX-License-Identifier: MIT
 *
 * `darkroom-worker self-test MODEL`: does this machine draw what the manifest says, and by how much
 * is it off; `--write` puts what it draws here into the manifest.
 *
 *     return self_test_command(argc - 1, argv + 1, &err);    // argv[0] is the name for --help
 *
 * Main thread. */
#ifndef DARKROOM_WORKER_SELF_TEST_COMMAND_H
#define DARKROOM_WORKER_SELF_TEST_COMMAND_H

struct err;

/* ERR_INVALID (options), ERR_SELF_TEST, ERR_DEVICE, and what choice_find(), model_open() and
 * file_write() give. */
int self_test_command(int argc, char **argv, struct err *err);

#endif
