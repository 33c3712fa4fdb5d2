/* SPDX-License-Identifier: MIT
 *
 * The keys that an object store signs with: those of a file, read once, or those of this machine's
 * role (EC2), which expire and which a thread therefore asks for each minute.
 *
 *     rc = s3_keys_open(file, NULL, &keys, &err);
 *     s3_keys_take(keys, &credentials);
 *     ... if the store denied:  s3_keys_doubt(keys);
 *     s3_keys_close(&keys);
 *
 * While the metadata service is away the last ones are used on. A link that is signed with a
 * role's keys ends with them at the latest; the next ones are there five minutes before. Any
 * thread. */
#ifndef DARKROOM_COMMON_S3_KEYS_H
#define DARKROOM_COMMON_S3_KEYS_H

#include "common/s3_credentials.h"

struct err;
struct s3_keys;

/* Either `file` or `metadata` (the service's address, without a slash at its end; borrowed until
 * close) is given; ERR_INVALID says so. Otherwise codes as s3_credentials_load(), or those of
 * http_client_send() where the first keys do not come. */
int s3_keys_open(const char *file, const char *metadata, struct s3_keys **out_keys,
                 struct err *err);
void s3_keys_close(struct s3_keys **keys); /* harmless on NULL */

/* Waits for nobody. */
void s3_keys_take(struct s3_keys *keys, struct s3_credentials *out_credentials);

/* The store denied what they had signed: asks for others now, but once a second at most. */
void s3_keys_doubt(struct s3_keys *keys);

#endif
