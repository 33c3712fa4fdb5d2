/* SPDX-License-Identifier: MIT
 *
 * Google: `instance/preempted` is FALSE, and TRUE from 30 s before the end. The first question is
 * answered at once; later ones name the answer that we know (its ETag) and wait for another.
 * https://cloud.google.com/compute/docs/instances/create-use-preemptible
 * https://cloud.google.com/compute/docs/metadata/querying-metadata */
#include "common/err.h"
#include "worker/spot_source.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WAIT_S 60
#define WAIT_TIMEOUT_MS ((WAIT_S + 10) * 1000)

static bool is_word(const struct buf *body, const char *word)
{
    size_t size = body->size;
    while (size > 0 && isspace(body->data[size - 1]))
        size--;
    return size == strlen(word) && !memcmp(body->data, word, size);
}

/* It becomes a part of the next URL. */
static void keep_etag(struct spot *spot)
{
    const char *etag = spot->response.etag;
    spot->gcp_etag[0] = 0;
    if (strspn(etag, "0123456789abcdefABCDEF") == strlen(etag) &&
        strlen(etag) < sizeof spot->gcp_etag)
        memcpy(spot->gcp_etag, etag, strlen(etag) + 1);
}

int spot_gcp_poll(struct spot *spot, struct spot_news *out_news, struct err *err)
{
    static const struct http_header header = {"Metadata-Flavor", "Google"};
    struct http_request request = {.headers = &header, .header_count = 1};
    char path[256] = "/computeMetadata/v1/instance/preempted";
    bool waits = spot->gcp_etag[0];
    if (waits) {
        snprintf(path, sizeof path,
                 "/computeMetadata/v1/instance/preempted?wait_for_change=true&timeout_sec=%d"
                 "&last_etag=%s",
                 WAIT_S, spot->gcp_etag);
        request.total_timeout_ms = WAIT_TIMEOUT_MS;
    }
    /* After a failure the next answer is wanted at once, too. */
    spot->gcp_etag[0] = 0;
    int rc = spot_ask(spot, path, request, err);
    if (rc < 0)
        return rc;
    if (is_word(&spot->response.body, "TRUE")) {
        out_news->notice = SPOT_NOW;
        snprintf(out_news->detail, sizeof out_news->detail, "preempted");
    } else if (is_word(&spot->response.body, "FALSE")) {
        keep_etag(spot);
        spot->at_once = !waits && spot->gcp_etag[0];
    } else {
        return err_set(err, ERR_INVALID, NULL, "instance/preempted is neither TRUE nor FALSE");
    }
    return 0;
}
