// SPDX-License-Identifier: MIT
// What a test needs beside the browser and jobs.mjs: refusals, keys, Redis and a worker that does as it is told.
//
//     const { status } = await request("GET", path, { token });
//     const key = makeKey("read");                      // {key, id, account}
//     await jobIs(job, "succeeded");
import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { server } from "./browser.mjs";

/** A request with a JSON body or none; the parsed answer. */
export async function request(method, path, { body, token } = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(server + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, json: text ? JSON.parse(text) : null };
}

export const viewOf = (job) => request("GET", `/v1/jobs/${job.id}`, { token: job.tokens.view });

/** Polls until `condition` gives something. */
export async function until(condition, what, deadline = Date.now() + 30000) {
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not come true in time`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const jobIs = (job, state) =>
  until(async () => (await viewOf(job)).json.state === state, `job ${job.id} ${state}`);

const darkroom = (...words) =>
  execFileSync(`${process.env.DARKROOM_BUILD}/dispatcher/darkroom`, [...words, "--redis", process.env.DARKROOM_REDIS], { encoding: "utf8" });

/** A new API key with these scopes, of an account of its own. */
export const makeKey = (scopes) => JSON.parse(darkroom("keys", "create", "--json", "--scopes", scopes));

export const revokeKey = (key) => darkroom("keys", "revoke", key.id);

export const redis = (...words) =>
  execFileSync("redis-cli", ["-s", process.env.DARKROOM_REDIS.replace(/^unix:/, ""), ...words.map(String)], { encoding: "utf8" }).trim();

/** A worker by hand (tests/support/hand.c): await hand.say("claim") is what it answers. */
export class Hand {
  constructor(model = "portrait-drawing") {
    this.process = spawn(`${process.env.DARKROOM_BUILD}/tests/integration/hand`, [process.env.DARKROOM_REDIS, "30000", model, "0"],
      { stdio: ["pipe", "pipe", "inherit"] });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  async say(...words) {
    this.process.stdin.write(`${words.join(" ")}\n`);
    return (await this.lines.next()).value;
  }

  /** {id, epoch, publicId} of a job that is now in its hands, or null. */
  async claim() {
    const [id, epoch, publicId] = (await this.say("claim")).split(" ");
    return publicId ? { id, epoch, publicId } : null;
  }

  end() {
    this.process.stdin.end();
    return new Promise((resolve) => this.process.on("exit", resolve));
  }
}
