/* SPDX-License-Identifier: MIT
 *
 * When this process dies of a signal that it raised itself, its jobs need not wait for their
 * leases.
 *
 *     crash_init(argc, argv);       // in main
 *     crash_arm(worker_id);         // before the first claim
 *     int main(int argc, char **argv) {
 *         if (argc > 1 && !strcmp(argv[1], CRASH_COMMAND))
 *             return crash_mourn(argc, argv);
 *
 * On SIGSEGV and its like a new copy of this program is started, which tells the queue who died of
 * what, over a connection of its own and with the same options. What is left of the old process
 * dies of the signal as it would have. SIGKILL cannot be seen: then the leases run out. */
#ifndef DARKROOM_WORKER_CRASH_H
#define DARKROOM_WORKER_CRASH_H

#define CRASH_COMMAND "mourn" /* no command for people: `mourn WORKER SIGNAL OPTIONS…` */

/* The options with which the copy is started; borrowed for ever. Main thread. */
void crash_init(int argc, char **argv);

/* Leaves alone the signals for which a sanitizer has its own handlers. Before there are threads. */
void crash_arm(const char *worker_id);

/* The exit status. */
int crash_mourn(int argc, char **argv);

#endif
