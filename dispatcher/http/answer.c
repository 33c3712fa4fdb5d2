/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/answer.h"

#include "common/json.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct answer *wrap(struct MHD_Response *answer)
{
    return (struct answer *)answer;
}

struct MHD_Response *answer_unwrap(struct answer *answer)
{
    return (struct MHD_Response *)answer;
}

struct answer *answer_take(void *body, size_t size)
{
    struct MHD_Response *answer =
        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (!answer)
        free(body);
    return wrap(answer);
}

struct answer *answer_static(const void *body, size_t size)
{
    return wrap(
        MHD_create_response_from_buffer(size, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT));
}

struct answer *answer_file(int fd, uint64_t offset, uint64_t size)
{
    struct MHD_Response *answer = MHD_create_response_from_fd_at_offset64(size, fd, offset);
    if (!answer)
        close(fd);
    return wrap(answer);
}

void answer_free(struct answer *answer)
{
    if (answer)
        MHD_destroy_response(answer_unwrap(answer));
}

bool answer_value_clean(const char *value)
{
    return json_text_is_clean(value, strlen(value));
}

void answer_header(struct answer *answer, const char *name, const char *value)
{
    if (answer && answer_value_clean(value))
        MHD_add_response_header(answer_unwrap(answer), name, value);
}
