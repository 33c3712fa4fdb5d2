/* SPDX-License-Identifier: MIT
 *
 * A model's parameters as fields of a form: what the page shows of each, and what a form that was
 * sent says of it.
 *
 *     fields = submit_fields_view(view_in_their_language, schema, typed);   // for submit.html
 *     params = submit_fields_read(schema, typed);                           // for intake.h
 *
 * `typed` is an object of texts by the parameters' names, as a form has them. A seed is a number of
 * its own choice, other integers of a small range and all numbers are sliders, an enum is a list, a
 * boolean a checkbox, and what is left a line of text. Pure but for the seeds: any thread. */
#ifndef DARKROOM_DISPATCHER_PAGES_SUBMIT_FIELDS_H
#define DARKROOM_DISPATCHER_PAGES_SUBMIT_FIELDS_H

#include "common/json.h"

/* A list of {name, title, description?, required, value?, min?, max?, step?, type} with one of
 * slider, select (and options), check (and checked), seed, number, text (and max_length, pattern)
 * true. Values are those of `typed` (NULL: nothing was typed yet), else the defaults; a seed
 * without either is made up. `view` is manifest_texts_view()'s; borrowed, as all. Owned by the
 * caller; NULL for want of memory. */
json_t *submit_fields_view(const json_t *view, const json_t *typed);

/* Values as a form has them: what is typed of the parameters that a job had. Owned by the caller;
 * NULL for want of memory. */
json_t *submit_fields_typed(const json_t *params);

/* Texts become what the schema wants, as far as they can; what cannot stays a text, for the schema
 * to refuse. An empty text is a default's, a checkbox that is not there is false. */
json_t *submit_fields_read(const json_t *schema, const json_t *typed);

#endif
