/* SPDX-License-Identifier: MIT
 *
 * multipart/form-data (RFC 7578) as it arrives, in pieces of any size.
 *
 *     struct multipart_sink sink = {form, on_part, on_data, on_end};
 *     rc = multipart_create(content_type, &sink, &parser, &err);
 *     rc = multipart_feed(parser, piece, size, &err);      // any number of times
 *     rc = multipart_finish(parser, &err);                 // was that all of it?
 *     multipart_destroy(&parser);
 *
 * Strict where clients never differ: the body starts with a delimiter, header lines end with CRLF,
 * every part is form-data with a name. Nothing of the contents is kept here. An error is final.
 * Belongs to one thread. */
#ifndef DARKROOM_DISPATCHER_HTTP_MULTIPART_H
#define DARKROOM_DISPATCHER_HTTP_MULTIPART_H

#include <stddef.h>

struct err;
struct multipart;

#define MULTIPART_MAX_PARTS 40 /* a model's 32 parameters, and what every form has */
#define MULTIPART_MAX_HEADER_BYTES 4096
#define MULTIPART_MAX_NAME 64

/* What the parser found; a negative code ends the parsing with it. `name` is borrowed for the
 * call and free of controls. Pieces of data are never empty. */
struct multipart_sink {
    void *context; /* borrowed */
    int (*part)(void *context, const char *name, struct err *err);
    int (*data)(void *context, const void *data, size_t size, struct err *err);
    int (*end)(void *context, struct err *err);
};

/* `content_type` is the request's header, borrowed for the call. ERR_UNSUPPORTED where it is not
 * multipart/form-data, ERR_INVALID for a bad boundary. */
int multipart_create(const char *content_type, const struct multipart_sink *sink,
                     struct multipart **out, struct err *err);
void multipart_destroy(struct multipart **parser);

/* ERR_INVALID (not as RFC 7578 says), ERR_LIMIT (parts, headers, names), or the sink's code. */
int multipart_feed(struct multipart *parser, const void *data, size_t size, struct err *err);

/* ERR_CORRUPT if the body ended before the closing delimiter. */
int multipart_finish(struct multipart *parser, struct err *err);

#endif
