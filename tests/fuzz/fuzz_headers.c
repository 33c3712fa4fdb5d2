/* SPDX-License-Identifier: MIT
 *
 * Header values that we take apart: Prefer, If-None-Match, traceparent. Each is what strangers
 * send, read to its terminating zero and no further. */
#include "common/trace.h"
#include "dispatcher/http/etag.h"
#include "dispatcher/http/prefer.h"

#include "tests/fuzz/target.h"

#include <string.h>

#define MOST 50
#define TAG "\"0123\""

static void try_trace(const char *text)
{
    struct trace trace, again;
    char written[TRACE_TEXT_SIZE];
    if (!trace_parse(text, &trace))
        return;
    /* What was read can be written and read again. */
    trace_format(&trace, written);
    fuzz_check(trace_parse(written, &again));
    fuzz_check(strcmp(trace.id, again.id) == 0 && strcmp(trace.span, again.span) == 0 &&
               trace.sampled == again.sampled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    fuzz_check(text);
    memcpy(text, data, size);
    text[size] = 0;
    int64_t seconds = prefer_wait(text, MOST);
    fuzz_check(seconds >= 0 && seconds <= MOST);
    bool named = etag_in_list(text, TAG);
    fuzz_check(!named || strchr(text, '*') || strstr(text, TAG));
    try_trace(text);
    free(text);
    return 0;
}
