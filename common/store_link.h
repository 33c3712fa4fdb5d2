/* SPDX-License-Identifier: MIT
 *
 * Signed links of the local store: BASE/o/KEY?e=EXPIRES&n=MAX_BYTES&t=TYPE&s=SIGNATURE.
 *
 * The signature is the first 128 bits of an HMAC-SHA256 over method, key, expiry (seconds since
 * 1970), greatest length and content type, in base64url; n and t stand in the link only where
 * they are signed as something. Host and base are not signed, so that a proxy may rename them.
 * Pure; any thread; all pointers are borrowed. */
#ifndef DARKROOM_COMMON_STORE_LINK_H
#define DARKROOM_COMMON_STORE_LINK_H

#include "common/store.h"

struct crypto_mac;

/* `base_url` ends without a slash. ERR_LIMIT where the URL does not fit. */
int store_link_make(const struct crypto_mac *mac, const char *base_url,
                    const struct store_link_request *request, int64_t now_s,
                    struct store_link *out_link);

/* ERR_DENIED for whatever store_link_make() has not made or is too old by now. */
int store_link_check(const struct crypto_mac *mac, const struct store_link_query *query,
                     int64_t now_s, struct store_permit *out_permit, struct err *err);

#endif
