/* SPDX-License-Identifier: MIT
 *
 * What a job is: its states and which may follow which, and the description of the work that the
 * dispatcher writes and the worker reads (Redis never looks into it).
 *
 *         ┌────────────── retry due ──────────────┐
 *         v                                       │
 *      queued ── claim ──> running ── fail ──> delayed
 *       │  ^                │ │ │                 │
 *       │  └── release, ────┘ │ ├─> succeeded     │
 *       │      lease expired  │ ├─> failed ── replay of a dead letter ──> queued
 *       └────── cancel ───────┴─┴─> cancelled <───┘
 *
 * Plain values; any thread. */
#ifndef DARKROOM_COMMON_JOB_H
#define DARKROOM_COMMON_JOB_H

#include "common/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct json_t;

enum job_state {
    JOB_QUEUED = 1,
    JOB_RUNNING,
    JOB_DELAYED,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED
};

enum job_priority { JOB_PRIORITY_HIGH, JOB_PRIORITY_NORMAL, JOB_PRIORITY_LOW, JOB_PRIORITY_COUNT };

/* "high" …; static storage. -1 for a text that names none. */
const char *job_priority_name(enum job_priority priority);
int job_priority_from_name(const char *name);

/* "queued" …; static storage. */
const char *job_state_name(enum job_state state);
/* One letter as in records and events: Q R D S F C. */
char job_state_letter(enum job_state state);
/* 0 for a letter that is none. */
enum job_state job_state_from_letter(char letter);
/* True once nothing but erasure (or a replay) can change it. */
bool job_state_is_final(enum job_state state);
/* The legality table; the scripts' own table is compared with it in a test. */
bool job_state_may_follow(enum job_state from, enum job_state to);

#define JOB_MODEL_SIZE 49    /* [a-z0-9][a-z0-9._-]{0,47} */
#define JOB_FLOW_SIZE 65     /* [A-Za-z0-9_-]{1,64} */
#define JOB_EXTENSION_SIZE 9 /* [a-z0-9]{1,8}, of the result's file name */
#define JOB_SPEC_MAX 16384   /* bytes of JSON */
#define JOB_PARAMS_MAX 8192  /* of these, the parameters' */
#define JOB_KEY_SIZE 257     /* object keys, with the terminator */

bool job_model_valid(const char *text);
bool job_flow_valid(const char *text);

/* inputs/<public id> */
void job_input_key(const char *public_id, char out[JOB_KEY_SIZE]);
/* results/<public id>/<epoch>/crop.png: the picture as the network saw it. */
void job_crop_key(const char *public_id, uint32_t epoch, char out[JOB_KEY_SIZE]);

/* results/<public id>/<epoch>/heat-map.png: where it looked. */
void job_heat_map_key(const char *public_id, uint32_t epoch, char out[JOB_KEY_SIZE]);
/* results/<public id>/<epoch>/result.<extension> */
void job_result_key(const char *public_id, uint32_t epoch, const char *extension,
                    char out[JOB_KEY_SIZE]);
/* The job whose object that is; false where the key is none of these. */
bool job_key_public_id(const char *key, char out[ID_PUBLIC_SIZE]);

struct job_crop {
    int64_t x, y, width, height; /* pixels after the EXIF orientation */
};

/* The work. `params` is the text of a JSON object. */
struct job_spec {
    char input_key[JOB_KEY_SIZE]; /* "" where the model takes no input */
    int64_t input_bytes;
    char input_type[65];
    bool has_crop;
    struct job_crop crop;
    char *params; /* owned: what job_spec_parse() read */
};

/* Appends {"input":{"key","bytes","type"},"crop":[x,y,w,h]|null,"params":{…}}; `params` is a JSON
 * object, borrowed. ERR_LIMIT past JOB_SPEC_MAX, ERR_NOMEM. */
int job_spec_format(const struct job_spec *spec, const struct json_t *params, struct buf *out,
                    struct err *err);
/* Fills *out_spec, which job_spec_fini() frees. ERR_INVALID, ERR_LIMIT. */
int job_spec_parse(const void *data, size_t size, struct job_spec *out_spec, struct err *err);
void job_spec_fini(struct job_spec *spec);

#endif
