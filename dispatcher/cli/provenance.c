/* SPDX-License-Identifier: MIT
 *
 * darkroom info, and what darkroom submit --from takes from a file. */
#include "common/provenance.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/picture.h"
#include "common/picture_metadata.h"
#include "dispatcher/cli/cli.h"

#include <stdio.h>
#include <string.h>

static int read_file(const char *file, struct buf *out, struct picture_metadata *out_metadata,
                     struct err *err)
{
    struct err inner = {0};
    buf_init(out, CLI_MAX_RESULT_BYTES);
    int rc = buf_read_file(out, file, err);
    if (rc < 0)
        return rc;
    rc = picture_metadata_read(out->data, out->size, out_metadata, &inner);
    /* A file that is there and says nothing of us is no missing file. */
    return rc < 0 ? err_set(err, rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc, NULL, "%s: %s", file,
                            inner.text)
                  : 0;
}

static void print_row(const char *name, const char *text)
{
    if (text && *text)
        printf("%-12s %s\n", name, text);
}

static void print_metadata(const json_t *view)
{
    static const char *const rows[][2] = {
        {"model", "model"},        {"weights", "weights_sha256"},
        {"version", "version"},    {"backend", "backend"},
        {"created", "created_at"}, {"source type", "digital_source_type"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        print_row(rows[i][0], cli_text(view, rows[i][1]));
    const json_t *seed = json_object_get(view, "seed"), *params = json_object_get(view, "params");
    if (seed)
        printf("%-12s %" JSON_INTEGER_FORMAT "\n", "seed", json_integer_value(seed));
    char *text = params ? json_dumps(params, JSON_SORT_KEYS) : NULL;
    print_row("parameters", params ? text : "(not told)");
    free(text);
}

int cli_info(struct cli *cli, const char *file, struct err *err)
{
    struct picture_metadata metadata = {0};
    struct buf content;
    json_t *view = NULL;
    int rc = read_file(file, &content, &metadata, err);
    if (rc == 0 && !(view = picture_metadata_json(&metadata)))
        rc = ERR_NOMEM;
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(view, err);
    else if (rc == 0)
        print_metadata(view);
    json_decref(view);
    picture_metadata_fini(&metadata);
    buf_fini(&content);
    return rc;
}

static int find_model(struct cli *cli, const char *server, const char *name, json_t **out_answer,
                      const json_t **out_model, struct err *err)
{
    size_t index;
    const json_t *model;
    int rc = cli_call(
        cli, &(struct cli_request){.server = server, .method = "GET", .path = "/v1/models"},
        out_answer, err);
    if (rc < 0)
        return rc;
    *out_model = NULL;
    json_array_foreach(json_object_get(*out_answer, "models"), index, model)
    {
        if (!strcmp(cli_text(model, "name"), name))
            *out_model = model;
    }
    return 0;
}

int cli_read_from(struct cli *cli, const char *server, const char *file, char **out_model,
                  json_t **out_params, struct err *err)
{
    struct picture_metadata metadata = {0};
    struct buf content;
    json_t *answer = NULL;
    const json_t *model = NULL;
    int rc = read_file(file, &content, &metadata, err);
    if (rc == 0)
        rc = find_model(cli, server, metadata.model, &answer, &model, err);
    enum provenance_bar bar = PROVENANCE_FREE;
    if (rc == 0)
        bar = provenance_again(&metadata, model, out_params);
    if (bar != PROVENANCE_FREE)
        rc = err_set(err, ERR_CORRUPT, NULL, "%s (%s): %s", file, metadata.model,
                     provenance_text(bar));
    if (rc == 0 && !(*out_model = strdup(metadata.model)))
        rc = ERR_NOMEM;
    json_decref(answer);
    picture_metadata_fini(&metadata);
    buf_fini(&content);
    return rc;
}

static bool same_pixels(const struct buf *a, const struct buf *b)
{
    const struct picture_limits limits = {.max_bytes = CLI_MAX_RESULT_BYTES,
                                          .max_pixels = PICTURE_MAX_PIXELS,
                                          .max_side = PICTURE_MAX_SIDE};
    struct picture first = {0}, second = {0};
    bool same =
        picture_decode(a->data, a->size, &limits, &first, NULL) == 0 &&
        picture_decode(b->data, b->size, &limits, &second, NULL) == 0 &&
        first.width == second.width && first.height == second.height &&
        !memcmp(first.pixels, second.pixels, (size_t)first.width * (size_t)first.height * 3);
    picture_fini(&first);
    picture_fini(&second);
    return same;
}

void cli_compare(const char *from, const char *made)
{
    struct buf a, b;
    buf_init(&a, CLI_MAX_RESULT_BYTES);
    buf_init(&b, CLI_MAX_RESULT_BYTES);
    if (buf_read_file(&a, from, NULL) == 0 && buf_read_file(&b, made, NULL) == 0) {
        bool same = a.size == b.size && (a.size == 0 || !memcmp(a.data, b.data, a.size));
        fprintf(stderr, "%s: %s %s\n", made,
                same                  ? "the same bytes as"
                : same_pixels(&a, &b) ? "the same picture as, but not the same file as"
                                      : "not the same picture as (see darkroom info of both)",
                from);
    }
    buf_fini(&a);
    buf_fini(&b);
}
