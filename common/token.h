/* SPDX-License-Identifier: MIT
 *
 * The rights to one job. Knowing its public id lets nobody do anything; each right is a MAC of
 * the id under a key of its own, so that nothing has to be stored and none can be guessed from
 * another.
 *
 *     struct token_keys *keys = NULL;
 *     rc = token_keys_create(&secret, &keys);
 *     rc = token_make(keys, TOKEN_VIEW, public_id, text);
 *     if (!token_allows(keys, TOKEN_VIEW, public_id, text)) ...   // 403
 *     token_keys_destroy(&keys);
 *
 * A manage token may also view, and either may do what a share token may: see the result, and no
 * more than that. Nothing else implies anything. Any thread, also at once. */
#ifndef DARKROOM_COMMON_TOKEN_H
#define DARKROOM_COMMON_TOKEN_H

#include <stdbool.h>

struct secret;
struct token_keys;

enum token_right { TOKEN_VIEW, TOKEN_MANAGE, TOKEN_DELETE, TOKEN_SHARE };

/* 128 bits as base64url, and the terminating zero. */
#define TOKEN_SIZE 23

/* `secret` is borrowed for the call; the keys are owned by the caller. */
int token_keys_create(const struct secret *secret, struct token_keys **out_keys);
void token_keys_destroy(struct token_keys **keys);

int token_make(const struct token_keys *keys, enum token_right right, const char *public_id,
               char out[TOKEN_SIZE]);

/* Constant time in the token's contents. `token` may be any text, or NULL. */
bool token_allows(const struct token_keys *keys, enum token_right right, const char *public_id,
                  const char *token);

#endif
