/* SPDX-License-Identifier: MIT
 *
 * What a request is answered with: a body and headers, made anywhere and given to
 * exchange_respond().
 *
 *     struct answer *answer = answer_take(data, size);      // or NULL, which all functions take
 *     answer_header(answer, "Content-Type", "application/json");
 *     exchange_respond(exchange, 200, answer);
 *
 * Any thread, one at a time. */
#ifndef DARKROOM_DISPATCHER_HTTP_ANSWER_H
#define DARKROOM_DISPATCHER_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Response;
struct answer;

/* Makers give NULL when memory is short. `taken` bodies are freed by the response. */
struct answer *answer_take(void *body, size_t size);
struct answer *answer_static(const void *body, size_t size);        /* body: borrowed */
struct answer *answer_file(int fd, uint64_t offset, uint64_t size); /* fd: taken */
void answer_free(struct answer *answer);

/* Names and values must be free of controls; one that is not is dropped. */
void answer_header(struct answer *answer, const char *name, const char *value);

/* Free of controls, as a header's value has to be? */
bool answer_value_clean(const char *value);

/* For exchange.c: a struct answer is MHD's, under a name of ours. */
struct MHD_Response *answer_unwrap(struct answer *answer);

#endif
