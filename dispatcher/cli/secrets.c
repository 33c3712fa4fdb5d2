/* SPDX-License-Identifier: MIT
 *
 * darkroom secrets: a secret of AWS's Secrets Manager, an object of names and texts, becomes files
 * of these names, so that a machine's user data need not hold any.
 * https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html */
#include "common/aws.h"
#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/file.h"
#include "common/http_client.h"
#include "dispatcher/cli/cli.h"

#include <stdio.h>
#include <string.h>

#define SECRET_MAX 65536
#define PATH_SIZE 4096

static const struct json_limits limits = {.max_bytes = 131072, .max_depth = 3};

/* A file's, in the folder and nowhere else. */
static bool name_is_fit(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < 128 && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               length;
}

/* *out_files is owned by the caller. */
static int get_files(struct aws *aws, const char *id, json_t **out_files, struct err *err)
{
    const struct http_response *response;
    json_t *request = json_pack("{s:s}", "SecretId", id), *answer = NULL;
    struct buf body;
    buf_init(&body, 4096);
    int rc = request ? json_append(&body, request, JSON_COMPACT) : ERR_NOMEM;
    if (rc == 0)
        rc = aws_send(aws,
                      &(struct aws_call){.service = "secretsmanager",
                                         .content_type = "application/x-amz-json-1.1",
                                         .target = "secretsmanager.GetSecretValue",
                                         .body = body.data,
                                         .body_size = body.size},
                      &response, err);
    if (rc == 0)
        rc = json_parse(response->body.data, response->body.size, limits, &answer, err);
    const char *text = json_string_value(json_object_get(answer, "SecretString"));
    if (rc == 0)
        rc = text ? json_parse(text, strlen(text), limits, out_files, err)
                  : err_set(err, ERR_CORRUPT, NULL, "the secret %s is no text", id);
    json_decref(request);
    json_decref(answer);
    buf_fini(&body);
    return rc;
}

static int check(const char *id, json_t *files, struct err *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(files) || json_object_size(files) == 0)
        return err_set(err, ERR_CORRUPT, NULL, "the secret %s is no object of names and texts", id);
    json_object_foreach(
        files, name,
        value) if (!name_is_fit(name) ||
                   !json_is_string(value)) return err_set(err, ERR_CORRUPT, NULL,
                                                          "the secret %s has a member that is no "
                                                          "file's name, or no text",
                                                          id);
    return 0;
}

static int write_files(const char *folder, json_t *files, struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(files, name, value)
    {
        char path[PATH_SIZE];
        if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
            return err_set(err, ERR_LIMIT, NULL, "the path of the folder is too long");
        int rc = file_write(path, json_string_value(value), json_string_length(value), 0600, err);
        if (rc < 0)
            return rc;
        printf("%s\n", path);
    }
    return 0;
}

int cli_secrets(struct cli *cli, const char *word, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    struct aws *aws = NULL;
    json_t *files = NULL;
    int rc = aws_open(&(struct aws_options){.metadata = settings->aws_metadata,
                                            .endpoint = settings->aws_endpoint},
                      &aws, err);
    if (rc == 0)
        rc = get_files(aws, word, &files, err);
    /* All of it is looked at before the first one is written. */
    if (rc == 0)
        rc = check(word, files, err);
    if (rc == 0)
        rc = write_files(cli->words[1], files, err);
    json_decref(files);
    aws_close(&aws);
    return rc;
}
