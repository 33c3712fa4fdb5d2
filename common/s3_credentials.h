/* SPDX-License-Identifier: MIT
 *
 * The key pair of an S3 account, from a file.
 *
 *     rc = s3_credentials_load("/etc/darkroom/s3", &credentials, &err);
 *
 * Either two lines, access key and secret key, or the ini file of AWS's tools, of which the
 * section [default] counts (lines in front of any section too). Any thread. */
#ifndef DARKROOM_COMMON_S3_CREDENTIALS_H
#define DARKROOM_COMMON_S3_CREDENTIALS_H

#include <stddef.h>

struct err;

struct s3_credentials {
    char access_key[129];
    char secret_key[129];
    char session_token[2049]; /* "" with keys that last */
};

/* Reads the file; refuses one that is open to all users. */
int s3_credentials_load(const char *path, struct s3_credentials *out_credentials, struct err *err);

/* The text of such a file. ERR_INVALID says what is missing and never repeats a value. */
int s3_credentials_parse(const char *text, size_t size, struct s3_credentials *out_credentials,
                         struct err *err);

void s3_credentials_wipe(struct s3_credentials *credentials);

#endif
