/* SPDX-License-Identifier: MIT
 *
 * AWS Signature Version 4, as a header and in a URL. Pure: time and keys come in.
 *
 *     rc = sigv4_sign(&scope, &request, authorization);            // Authorization: <this>
 *     rc = sigv4_presign(&scope, &request, 900, query);            // https://host/path?<this>
 *
 * Follows "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference.
 * libcurl 7.88 signs too, but without the x-amz-content-sha256 that S3 demands, and it cannot
 * presign. Any thread; all pointers are borrowed. */
#ifndef DARKROOM_COMMON_SIGV4_H
#define DARKROOM_COMMON_SIGV4_H

#include "common/s3_credentials.h"

#include <stddef.h>
#include <stdint.h>

struct buf;

#define SIGV4_TIME_SIZE 17 /* "20130524T000000Z" and the zero */
#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

struct sigv4_scope {
    const struct s3_credentials *credentials;
    const char *region;
    const char *service; /* "s3", "autoscaling" */
    int64_t time_s;      /* since 1970 UTC */
};

struct sigv4_pair {
    const char *name, *value;
};

struct sigv4_request {
    const char *method;
    const char *path;               /* begins with '/', not yet encoded */
    const struct sigv4_pair *query; /* not yet encoded, in any order, no name twice */
    size_t query_count;
    const struct sigv4_pair *headers; /* lower-case names in ascending order, host among them */
    size_t header_count;
    const char *payload_hash; /* hex SHA-256 of the body, or SIGV4_UNSIGNED_PAYLOAD */
};

/* At most so many members of a query, those of a presigned URL included. */
#define SIGV4_MAX_QUERY 16

/* As it stands in x-amz-date. */
void sigv4_time(int64_t time_s, char out[SIGV4_TIME_SIZE]);

/* Appends the text percent-encoded; '/' stays where `keep_slash`. */
int sigv4_encode(const char *text, int keep_slash, struct buf *out);

/* Appends the canonical query "a=1&b=%2F", sorted; ERR_LIMIT past SIGV4_MAX_QUERY. */
int sigv4_query(const struct sigv4_pair *query, size_t query_count, struct buf *out);

/* Appends the value of the Authorization header. */
int sigv4_sign(const struct sigv4_scope *scope, const struct sigv4_request *request,
               struct buf *out);

/* Appends the whole query of a URL that is valid for expires_s; the payload is unsigned. */
int sigv4_presign(const struct sigv4_scope *scope, const struct sigv4_request *request,
                  int64_t expires_s, struct buf *out);

#endif
