/* SPDX-License-Identifier: MIT
 *
 * The two XML answers of S3 that we read: an error and a page of a listing. No general parser:
 * elements are found by name, which is enough for documents that machines write, and anything
 * else just yields nothing. Any thread; all pointers are borrowed. */
#ifndef DARKROOM_COMMON_S3_XML_H
#define DARKROOM_COMMON_S3_XML_H

#include "common/store.h"

/* The text of the first <name> within [xml, xml + size), entities resolved. False where there is
 * none or it does not fit into `out`. */
bool s3_xml_text(const char *xml, size_t size, const char *name, char *out, size_t out_size);

/* A ListObjectsV2 answer. Keys that are none of ours are left out. `cursor` becomes the
 * continuation token, "" at the end of the listing. ERR_CORRUPT where it is no such answer. */
int s3_xml_list(const char *xml, size_t size, char cursor[STORE_CURSOR_SIZE],
                struct store_entry *entries, size_t max_entries, size_t *out_count);

#endif
