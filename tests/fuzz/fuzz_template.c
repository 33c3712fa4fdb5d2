/* SPDX-License-Identifier: MIT
 *
 * A template, a zero byte and a text to fill in: whatever the template is, what was filled in never
 * becomes markup. */
#include "common/buf.h"
#include "common/err.h"
#include "common/template.h"

#include "tests/fuzz/target.h"

#include <string.h>

static const char *find_partial(void *context, const char *name)
{
    return strcmp(name, "itself") == 0 ? context : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out;
    struct err err = {0};
    char *text = strndup((const char *)data, size);
    size_t length = strlen(text);
    const char *tail = length < size ? (const char *)data + length + 1 : "";
    size_t tail_size = length < size ? size - length - 1 : 0;
    json_t *filled = json_stringn(tail, tail_size);
    json_t *object = json_pack("{s:o?, s:[i,s,{s:s}], s:b, s:{}}", "x", filled, "l", 1, "<", "y",
                               "&", "b", 1, "o");
    json_t *texts = json_pack("{s:s, s:s}", "title", "{{x}} of {{y}}", "loop", "{{t.loop}}");
    struct template_options options = {
        .html = true, .partials = find_partial, .context = text, .texts = texts};
    fuzz_check(text && object && texts);
    buf_init(&out, 65536);
    int rc = template_render("fuzz", text, object, &options, &out, &err);
    fuzz_check((rc == 0) == (err.code == 0) && (rc == 0 || out.size == 0));
    /* With no markup in the template there is none in what came of it. */
    if (rc == 0 && !strpbrk(text, "<>\"'"))
        fuzz_check(!strpbrk(buf_text(&out), "<>\"'"));
    template_check("fuzz", text, &options, NULL);
    buf_fini(&out);
    json_decref(object);
    json_decref(texts);
    free(text);
    return 0;
}
