/* SPDX-License-Identifier: MIT
 *
 * Calls of AWS's services by a machine of EC2, signed with the credentials of its role.
 *
 *     rc = aws_open(&(struct aws_options){.timeout_ms = 5000}, &aws, &err);
 *     const struct sigv4_pair members[] = {{"Action", "SetDesiredCapacity"}, ...};
 *     rc = aws_query(aws, "autoscaling", members, COUNT(members), &err);
 *     rc = aws_send(aws, &call, &response, &err);     // what is no query API
 *     aws_close(&aws);
 *
 * Region, domain and credentials come from the metadata service, the latter again when they are
 * about to expire, and once when a call is refused. The error's text has the service's own code
 * (AccessDenied) where it sent one, and never what was sent. Belongs to one thread.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
 * https://docs.aws.amazon.com/autoscaling/ec2/APIReference/making-api-requests.html */
#ifndef DARKROOM_COMMON_AWS_H
#define DARKROOM_COMMON_AWS_H

#include "common/sigv4.h"

#include <stddef.h>
#include <stdint.h>

struct aws;
struct err;
struct http_response;

/* Zeros stand for the defaults. Texts are borrowed until aws_close(). */
struct aws_options {
    const char *metadata; /* AWS_METADATA */
    const char *endpoint; /* of every service, without a slash; https://SERVICE.REGION.DOMAIN */
    int64_t timeout_ms;   /* of one request; 5000 */
    /* As of a http_request. */
    int (*on_progress)(void *context, int64_t sent_bytes, int64_t received_bytes);
    void *context;
};

/* A POST to "/" of a service. All borrowed. */
struct aws_call {
    const char *service; /* as it is signed, and in the host's name */
    const char *content_type;
    const char *target; /* x-amz-target; NULL: none */
    const void *body;
    size_t body_size;
};

/* Asks nobody yet. ERR_NOMEM. */
int aws_open(const struct aws_options *options, struct aws **out_aws, struct err *err);
void aws_close(struct aws **aws);

/* A word of the metadata service, such as "instance-id"; codes as aws_metadata_text(). */
int aws_word(struct aws *aws, const char *path, char *out, size_t size, struct err *err);

/* The role's, asked for anew; to be wiped by the caller. */
int aws_credentials(struct aws *aws, struct s3_credentials *out_credentials, struct err *err);

/* *out_response is borrowed until the next call. Codes as http_client_send(). */
int aws_send(struct aws *aws, const struct aws_call *call,
             const struct http_response **out_response, struct err *err);

/* One action of a query API; `members`: at most SIGV4_MAX_QUERY, Action and Version among them. */
int aws_query(struct aws *aws, const char *service, const struct sigv4_pair *members, size_t count,
              struct err *err);

#endif
