/* SPDX-License-Identifier: MIT
 *
 * /docs: the API for people, from its own description. The list of operations and each operation's
 * page are whole without scripts; with them one can try the operation from its page. */
#include "common/catalogue.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/openapi/openapi_view.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/pages.h"
#include "dispatcher/routes.h"

#include <string.h>

#define MAX_ID 64

/* Made by embed.c from docs/samples. */
extern const char sample_submit_sh[], sample_submit_py[], sample_submit_mjs[];

/* The description itself is in English, which a page in another language has to say. */
static bool in_english(const struct dispatcher *dispatcher, const struct call *call)
{
    return strcmp(page_language(dispatcher, call->exchange)->tag, "en") == 0;
}

static json_t *samples(void)
{
    return json_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}]", "name", "curl", "code",
                     sample_submit_sh, "name", "Python", "code", sample_submit_py, "name",
                     "JavaScript", "code", sample_submit_mjs);
}

void page_docs(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "docs.html",
              json_pack("{s:o?, s:o?, s:b}", "tags",
                        openapi_view_list(dispatcher->pages->description), "samples", samples(),
                        "english", in_english(dispatcher, call)));
}

/* What the form for trying it needs, beside what the operation says of itself. */
static void describe_form(json_t *operation)
{
    const char *example = json_string_value(json_object_get(operation, "example"));
    bool bearer = false, picture = example && (strstr(example, "\"input\"") != NULL ||
                                               strstr(example, "\"photo\"") != NULL);
    json_t *right;
    size_t i;
    json_array_foreach(json_object_get(operation, "rights"), i, right)
    {
        bearer |= json_is_true(json_object_get(right, "bearer"));
    }
    json_object_set_new(operation, "has_bearer", json_boolean(bearer));
    json_object_set_new(operation, "takes_picture", json_boolean(picture));
    json_object_set_new(
        operation, "has_parameters",
        json_boolean(json_array_size(json_object_get(operation, "parameters")) > 0));
}

void page_operation(struct dispatcher *dispatcher, struct call *call)
{
    char id[MAX_ID];
    json_t *operation = NULL;
    if (router_capture(&call->match, 0, id, sizeof id))
        operation = openapi_view_operation(dispatcher->pages->description, id);
    describe_form(operation);
    if (operation)
        page_send(call, 200, "operation.html",
                  json_pack("{s:o, s:b}", "operation", operation, "english",
                            in_english(dispatcher, call)));
    else
        call_refuse(call, PROBLEM_NOT_FOUND, "the API has no such operation");
}
