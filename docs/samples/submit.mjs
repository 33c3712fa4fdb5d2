#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// submit.mjs PICTURE RESULT: hands in a picture, waits for the result and saves it. Needs no package.
// DARKROOM_URL says where, DARKROOM_MODEL which model; DARKROOM_KEY is an API key, if there is one.
import { readFile, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";

const url = process.env.DARKROOM_URL ?? "http://127.0.0.1:8080";
const model = process.env.DARKROOM_MODEL ?? "portrait-drawing";
const key = process.env.DARKROOM_KEY;
const [picture, result] = process.argv.slice(2);

/** The JSON of an answer; a refusal, application/problem+json, is thrown with its reason. */
async function ask(path, options) {
  const answer = await fetch(url + path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(`refused: ${body.detail ?? body.title}`);
  return body;
}

const form = new FormData();
form.set("model", model);
form.set("input", new Blob([await readFile(picture)]), "picture");

// The same key again would be the same job: it is safe to repeat this call when the line breaks.
let job = await ask("/v1/jobs", {
  method: "POST",
  headers: { "Idempotency-Key": randomUUID(), Prefer: "wait=20", ...(key && { Authorization: `Bearer ${key}` }) },
  body: form,
});
const { view } = job.tokens;

// Each of these calls is answered when the job has ended, or after 20 seconds.
while (["queued", "running", "delayed"].includes(job.state))
  job = await ask(`/v1/jobs/${job.id}`, { headers: { Authorization: `Bearer ${view}`, Prefer: "wait=20" } });
if (job.state !== "succeeded") throw new Error(`${job.state}: ${job.error?.code}`);

// The answer leads to a link that is good for some minutes.
const answer = await fetch(`${url}/v1/jobs/${job.id}/result?token=${view}`);
await writeFile(result, Buffer.from(await answer.arrayBuffer()));
