// SPDX-License-Identifier: MIT
// Jobs for tests of the pages that show them, made by the API.
import { readFileSync } from "node:fs";
import { operatorKey, server } from "./browser.mjs";

const portrait = readFileSync(new URL("../../docs/images/astronaut.png", import.meta.url));

export async function api(method, path, { body, key, token } = {}) {
  const headers = { ...(body ? { "Content-Type": "application/json" } : {}) };
  if (key || token) headers.Authorization = `Bearer ${key || token}`;
  const answer = await fetch(server + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** A portrait that is handed in; `members` as POST /v1/jobs takes them. */
export const handIn = (members = {}, key = "") =>
  api("POST", "/v1/jobs", {
    key,
    body: { model: "portrait-drawing", input: `data:image/png;base64,${portrait.toString("base64")}`, ...members },
  });

export const pageOf = (job, token = job.tokens.view) => `/j/${job.id}?token=${token}`;

export async function ended(job) {
  for (let tries = 0; tries < 600; tries++) {
    const now = await api("GET", `/v1/jobs/${job.id}`, { token: job.tokens.view });
    if (["succeeded", "failed", "cancelled"].includes(now.state)) return now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${job.id} does not end`);
}

export async function finished(members) {
  const job = await handIn(members);
  await ended(job);
  return job;
}

/** Nobody begins portraits while `during` goes on. */
export async function paused(during) {
  await api("POST", "/v1/queues/portrait-drawing/pause", { key: operatorKey });
  try {
    await during();
  } finally {
    await resume();
  }
}

export const resume = () => api("POST", "/v1/queues/portrait-drawing/resume", { key: operatorKey });

/** As the page that handed it in leaves it in the browser. */
export const remember = (page, job) =>
  page.evaluate(
    ({ id, tokens, model }) =>
      localStorage.setItem(`darkroom.job.${id}`, JSON.stringify({ tokens, model, at: Date.now() })),
    job,
  );
