/* SPDX-License-Identifier: MIT
 *
 * A redis-server of the test's own: on a unix socket in a temporary folder, without persistence,
 * killed and swept away at exit, however the program ends. $DARKROOM_REDIS_SERVER names another
 * program than the one on the PATH (redis_program.py).
 *
 *     struct redis_server *server = redis_server_start(NULL);   // skips the program where none is
 * installed redis_target_init(&target, redis_server_url(server), NULL, &err);
 *     redis_server_pause(server); ... redis_server_resume(server);
 *     redis_server_stop(&server);
 *
 * Aborts the test program where the server does not come up. One thread. */
#ifndef DARKROOM_TESTS_REDIS_SERVER_H
#define DARKROOM_TESTS_REDIS_SERVER_H

struct redis_server;

/* `options`: pairs for the command line, "--maxmemory", "100mb", NULL-ended; or NULL. */
struct redis_server *redis_server_start(const char *const *options);
void redis_server_stop(struct redis_server **server);

/* "unix:/tmp/…/redis.sock", borrowed. */
const char *redis_server_url(const struct redis_server *server);

/* SIGSTOP and SIGCONT. */
void redis_server_pause(struct redis_server *server);
void redis_server_resume(struct redis_server *server);

/* kill -9, and start again on the same socket, empty. */
void redis_server_restart(struct redis_server *server);

#endif
