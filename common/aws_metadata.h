/* SPDX-License-Identifier: MIT
 *
 * The metadata service of an EC2 machine, IMDSv2: a session token by PUT, then GET with it.
 *
 *     struct aws_metadata metadata = {.endpoint = AWS_METADATA, .client = client,
 *                                     .response = &response};
 *     rc = aws_metadata_get(&metadata, "instance-id", &err);   // the answer is in `response`
 *     rc = aws_metadata_text(&metadata, "instance-id", id, sizeof id, &err);
 *
 * A token is asked for when there is none, and again when it is old or refused.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
 * Belongs to one thread. */
#ifndef DARKROOM_COMMON_AWS_METADATA_H
#define DARKROOM_COMMON_AWS_METADATA_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct http_client;
struct http_response;

#define AWS_METADATA "http://169.254.169.254"

/* All pointers are borrowed for the life of the struct. */
struct aws_metadata {
    const char *endpoint; /* without a slash at its end */
    struct http_client *client;
    struct http_response *response;
    /* As of a http_request; may be NULL. */
    int (*on_progress)(void *context, int64_t sent_bytes, int64_t received_bytes);
    void *context;

    /* Of the module; 0 at first. */
    char token[257];
    int64_t token_until_ms;
};

/* Asks for "/latest/meta-data/" + path. ERR_NOT_FOUND: there is no such thing (404). */
int aws_metadata_get(struct aws_metadata *metadata, const char *path, struct err *err);

/* The same for one word of printable ASCII without space; ERR_CORRUPT where the answer is none. */
int aws_metadata_text(struct aws_metadata *metadata, const char *path, char *out, size_t size,
                      struct err *err);

#endif
