// SPDX-License-Identifier: MIT
// The fleet page against two real workers: what it shows, and what an operator does with it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { KEPT_SECONDS, Series } from "../../dispatcher/web/assets/fleet-series.js";
import { Hand, jobIs, makeKey, redis, request, revokeKey, until, viewOf } from "./api.mjs";
import { desk, inspect, accountKey, operatorKey, phone, views, visit } from "./browser.mjs";
import { handIn } from "./jobs.mjs";

async function enter(options = desk, key = operatorKey, path = "/fleet") {
  const visited = await visit(options, path);
  await visited.page.locator("#enter:not([hidden])").waitFor();
  await visited.page.fill("#key", key);
  await visited.page.click("#key-form button");
  return visited;
}

const open = async (options, path) => {
  const visited = await enter(options, operatorKey, path);
  await visited.page.locator("#queues tbody tr").first().waitFor();
  return visited;
};

const row = (page) => page.locator('#queues tr[data-id="portrait-drawing"]');

const cell = (page, name) => row(page).locator(`[data-name="${name}"]`);

const says = (page, name, pattern) =>
  until(async () => pattern.test(await cell(page, name).textContent()), `${name} ${pattern}`);

const answer = (page, value) => page.locator(`dialog button[value=${value}]`).click();

const operate = (method, path, body) => request(method, path, { token: operatorKey, body });

const realWorkers = redis("zrange", "{q:00}workers", 0, -1).split("\n");

/** Nobody but a hand claims, until the answer is called. */
function drain() {
  for (const worker of realWorkers) redis("set", `{q:00}drain:${worker}`, 1);
  return () => realWorkers.map((worker) => redis("del", `{q:00}drain:${worker}`));
}

const drained = async () => (await operate("GET", "/v1/fleet")).json.workers.filter(({ draining }) => draining).length === 2;

/** Jobs that failed as often as they may, each time for a reason that could have passed. */
async function deadLetters(count) {
  const resume = drain();
  const hand = new Hand();
  await hand.say("hello");
  await until(drained, "both workers drained");
  // Until a worker has heard of it with a heartbeat, it goes on claiming.
  const dead = [];
  while (dead.length < count) {
    const job = await handIn();
    const state = async () => (await viewOf(job)).json.state;
    await until(async () => {
      if ((await state()) === "delayed") redis("zadd", "{q:00}delay", 1, job.id.slice(2, 14));
      const claimed = await hand.claim();
      if (claimed) await hand.say("retry", claimed.id, claimed.epoch, "later");
      return ["failed", "succeeded"].includes(await state());
    }, "the end of its attempts");
    if ((await state()) === "failed") dead.push(job);
  }
  await hand.end();
  resume();
  return dead;
}

// Mails are given up after three days; here one is, as the notifier would write it.
async function givenUp() {
  const job = await handIn({});
  await jobIs(job, "succeeded");
  const now = Date.now();
  const id = `${job.id}-${now.toString(16)}-wh_nobody`;
  const shard = `{q:${job.id.slice(0, 2)}}`;
  redis("hset", `${shard}n:${id}`, "id", job.id, "model", "portrait-drawing", "state", "S", "epoch", 1, "attempts", 9,
    "created", now - 1000, "dead", now, "reason", "status 500");
  redis("sadd", `${shard}nj:${job.id.slice(2, 14)}`, id);
  redis("zadd", `${shard}unsent`, now, id);
  return job;
}

const dead = await deadLetters(3);
const unsent = await givenUp();

for (const [name, view] of Object.entries(views)) {
  test(`an_operator_sees_queues_workers_and_what_died_on_${name}`, async () => {
    const { page, complaints, close } = await open(view);
    await page.waitForFunction(() => document.querySelectorAll("#workers > li").length >= 2);
    assert.match(await page.textContent("#workers"), /In memory: .*Portrait to drawing/);
    assert.match(await page.textContent("#workers"), /In hand: 0 of \d/);
    assert.match(await page.textContent("#workers"), /last heard/);
    await until(async () => (await page.textContent("#dead-total")) === "3", "three dead letters");
    await until(async () => (await page.textContent("#unsent-total")) === "1", "one undelivered");
    assert.match(await page.textContent("#mails"), /Mails: sent \d/);
    await page.locator("#dead summary").first().click();
    assert.match(await page.textContent("#dead details[open] .attempts"), /Attempt 1/);
    await page.waitForFunction(() => document.querySelectorAll("#plots canvas").length === 3);
    assert.equal(await page.isHidden("#plots-problem"), true);
    await inspect(page, `fleet-${name}`);
    assert.deepEqual(complaints, []);
    await close();
  });
}

for (const lang of ["nl", "ru", "zh"]) {
  test(`the_fleet_speaks_${lang}`, async () => {
    const { page, complaints, close } = await open(phone, `/fleet?lang=${lang}`);
    await page.locator("#dead > li").first().waitFor();
    await page.locator("#unsent > li").first().waitFor();
    assert.doesNotMatch(await page.textContent("main"), /(fleet|history|common)\.[a-z]|\{\{/);
    await inspect(page, `fleet-${lang}`);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("pausing_asks_first_and_resuming_begins_what_waits", async () => {
  const { page, close } = await open(desk);
  const button = row(page).locator("button");
  await button.click();
  assert.match(await page.textContent("dialog"), /Pause “Portrait to drawing”/);
  await answer(page, "no");
  assert.equal((await operate("GET", "/v1/queues")).json.queues.find((queue) => queue.model === "portrait-drawing").paused, false);
  await button.click();
  await answer(page, "yes");
  await until(async () => /paused/.test(await row(page).locator(".act").textContent()), "paused");
  const job = await handIn();
  await says(page, "Waiting", /^1$/);
  await inspect(page, "fleet-paused");
  await button.click();
  await answer(page, "yes");
  await jobIs(job, "succeeded");
  await says(page, "Waiting", /^0$/);
  await until(async () => /served/.test(await row(page).locator(".act").textContent()), "served");
  await close();
});

test("a_worker_shows_what_it_does_right_now_and_that_it_was_told_to_drain", async () => {
  const resume = drain();
  const hand = new Hand();
  const name = await hand.say("hello");
  await until(drained, "both workers drained");
  let job = null;
  const claimed = await until(async () => { // until they have heard of it they go on claiming
    if (!job || (await viewOf(job)).json.state === "succeeded") job = await handIn();
    return hand.claim();
  }, "a claim");
  await hand.say("progress", claimed.id, claimed.epoch, 400);
  const { page, close } = await open(desk);
  const card = page.locator(`#workers > li[data-id="${name}"]`);
  await card.locator(".doing li").waitFor();
  assert.match(await card.locator(".doing li").textContent(), new RegExp(`Portrait to drawing ${job.id.slice(0, 8)}, for \\d`));
  assert.equal(await card.locator("progress").evaluate((bar) => bar.value), 0.4);
  assert.match(await card.textContent(), /at work/);
  await says(page, "Running", /^1$/);
  assert.match(await page.textContent(`#workers > li[data-id="${realWorkers[0]}"]`), /draining/);
  await inspect(page, "fleet-doing");
  await hand.say("fail", claimed.id, claimed.epoch, "enough");
  await card.locator(".doing li").waitFor({ state: "detached" });
  await hand.end();
  resume();
  await close();
});

test("dead_letters_are_replayed_one_and_those_chosen", async () => {
  const { page, complaints, close } = await open(phone);
  const total = (n) => until(async () => (await page.textContent("#dead-total")) === String(n), `${n} dead letters`);
  await total(3);
  const item = page.locator(`#dead > li[data-id="${dead[0].id}"]`);
  await item.locator("summary").click();
  assert.match(await item.locator(".attempts").textContent(), /Attempt 3: w-[0-9a-f]+ corrupt/);
  await item.locator("button").click();
  await page.waitForFunction(() => /Queued again: 1/.test(document.getElementById("dead-note").textContent));
  await jobIs(dead[0], "succeeded");
  await total(2);
  await page.check("#dead-all");
  await page.locator(`#dead > li[data-id="${dead[1].id}"] > input`).uncheck();
  assert.equal(await page.evaluate(() => document.getElementById("dead-all").indeterminate), true);
  await page.click("#dead-replay");
  assert.match(await page.textContent("dialog"), /Number: 1/);
  await answer(page, "yes");
  await jobIs(dead[2], "succeeded");
  await total(1);
  assert.equal(await page.locator("#dead > li").getAttribute("data-id"), dead[1].id);
  await page.click("#dead-replay-all");
  await answer(page, "yes");
  await jobIs(dead[1], "succeeded");
  await total(0);
  assert.equal(await page.isHidden("#dead-actions"), true);
  assert.deepEqual(complaints, []);
  await close();
});

test("what_was_not_delivered_is_sent_again", async () => {
  const { page, complaints, close } = await open(desk);
  await page.locator("#unsent > li").waitFor();
  assert.match(await page.textContent("#unsent"), /Webhook · status 500/);
  await page.check("#unsent-all");
  await page.click("#unsent-replay");
  await answer(page, "yes");
  await until(async () => (await page.textContent("#unsent-total")) === "0", "nothing undelivered");
  assert.match(await page.textContent("#unsent-note"), /Due again: 1/);
  assert.equal((await viewOf(unsent)).json.state, "succeeded");
  assert.deepEqual(complaints, []);
  await close();
});

test("a_reload_shows_the_past_at_once", async () => {
  const { page, close } = await open(desk);
  await until(async () => (await operate("GET", "/v1/fleet")).json.samples.count >= 3, "three samples");
  await page.reload();
  const fleet = await page.waitForResponse((r) => r.url().includes("/v1/fleet"));
  assert.doesNotMatch(fleet.url(), /since/);
  assert.ok((await fleet.json()).samples.count >= 3);
  await page.locator("#plots canvas").first().waitFor();
  const next = await page.waitForResponse((r) => /fleet\?since=\d+$/.test(r.url()));
  assert.ok((await next.json()).samples.count <= 2);
  await close();
});

test("a_server_that_is_away_is_told_and_the_figures_are_dimmed_until_it_is_back", async () => {
  const { page, close } = await open(desk);
  await page.route("**/v1/fleet*", (route) => route.abort());
  await page.locator("#app.stale").waitFor();
  assert.match(await page.textContent("#problem"), /cannot be reached/);
  await page.unroute("**/v1/fleet*");
  await page.locator("#app:not(.stale)").waitFor();
  assert.equal(await page.isHidden("#problem"), true);
  await close();
});

test("a_key_that_is_none_unknown_of_another_scope_or_revoked_sees_nothing", async () => {
  const { context, page, close } = await enter(phone, "secret");
  const problem = (pattern) => until(async () => pattern.test(await page.textContent("#key-problem")), String(pattern));
  const tryKey = async (key) => {
    await page.fill("#key", key);
    await page.click("#key-form button");
  };
  await problem(/not an API key/);
  await tryKey(`dk_${"A".repeat(43)}`);
  await problem(/not valid/);
  await tryKey(accountKey);
  await problem(/scope “operate”/);
  await inspect(page, "fleet-key-refused");
  assert.equal(await page.locator("#queues tbody tr").count(), 0);
  const doomed = makeKey("operate");
  await tryKey(doomed.key);
  await page.locator("#queues tbody tr").first().waitFor();
  assert.doesNotMatch(page.url(), /dk_/);
  assert.equal((await context.cookies()).length, 0);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  revokeKey(doomed);
  await page.locator("#enter:not([hidden])").waitFor();
  await problem(/not valid/);
  assert.equal(await page.locator("#queues tbody tr").count(), 0, "nothing of it is left on the page");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await close();
});

test("nothing_that_a_worker_or_a_receiver_says_becomes_markup", async () => {
  const evil = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
  const { page, complaints, close } = await visit(desk, "/fleet");
  const at = new Date().toISOString();
  await page.route("**/v1/fleet*", async (route) => {
    const real = await (await route.fetch()).json();
    const worker = { id: evil, device: evil, models: [evil], loaded: [evil], slots: 1, running: 1, draining: false, heard_seconds_ago: 1, silent_after_seconds: 1,
      jobs: [{ id: evil, model: evil, since: evil, progress: 0 }] };
    const mail = { ...real.mail, held_until: at, last_failure: { reason: evil, at } };
    await route.fulfill({ json: { ...real, mail, dead: 99, unsent: 99, workers: [worker], queues: [{ ...real.queues[0], model: evil }] } });
  });
  await page.route("**/v1/dead*", (route) => route.fulfill({ json: { total: 1, dead: [{ id: evil, model: evil, flow: evil, created_at: at, died_at: at,
    error: { code: evil, detail: evil }, attempts: 1, losses: 0, crashes: 0, history: [{ epoch: 1, at, what: evil }] }] } }));
  await page.route("**/v1/notifications", (route) => route.fulfill({ json: { total: 1, unsent: [{ id: evil, kind: evil, job: evil, state: evil,
    attempts: 1, created_at: at, given_up_at: at, reason: evil }] } }));
  await page.fill("#key", operatorKey);
  await page.click("#key-form button");
  await page.locator("#unsent > li").waitFor();
  assert.match(await page.textContent("#mail-failure"), /Last failure, .*<script>/);
  assert.match(await page.textContent("#mail-held"), /No mail goes out until/);
  await inspect(page, "fleet-mail-held");
  await page.locator("#queues button").first().click();
  assert.match(await page.textContent("dialog"), /<script>/);
  await answer(page, "no");
  assert.equal(await page.locator("main img, main script, dialog img").count(), 0);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.deepEqual(complaints, []);
  await close();
});

test("without_javascript_the_fleet_says_what_it_needs_it_for", async () => {
  const { page, close } = await visit({ ...phone, javaScriptEnabled: false }, "/fleet");
  assert.match(await page.textContent("noscript"), /darkroom queues/);
  await close();
});

const samples = (from, rows) => ({
  step_seconds: 5, from, count: rows.length,
  models: { m: Object.fromEntries(["queued", "running", "submitted", "finished", "oldest_seconds"].map((name, i) => [name, rows.map((row) => row && row[i])])) },
});

test("samples_of_many_answers_become_one_curve_with_gaps_where_nothing_is_known", () => {
  const series = new Series();
  series.add(samples(1000, [[1, 0, 1, 0, 2], [2, 1, 3, 0, 3]]));
  series.add(samples(1005, [[2, 1, 3, 0, 3], null, [4, 1, 6, 3, 9]]));
  assert.equal(series.last, 1015);
  const { times, queued, oldest, rate } = series.of("m");
  assert.deepEqual(times, [1000, 1005, 1010, 1015]);
  assert.deepEqual(queued, [1, 2, null, 4]);
  assert.deepEqual(oldest, [2, 3, null, 9]);
  assert.deepEqual(rate, [null, 0, null, 12]); // three within fifteen seconds
  assert.deepEqual(series.of("other").queued, [null, null, null, null]);
  series.add(samples(1010, [[7, 0, 0, 1, 0]])); // another dispatcher did get an answer
  assert.deepEqual(series.of("").queued, [1, 2, 7, 4]);
  series.add(samples(1015, [null])); // and this one knows less
  assert.deepEqual(series.of("").queued, [1, 2, 7, 4]);
  series.add(samples(1000 + KEPT_SECONDS + 5, [[0, 0, 0, 2, 0]]));
  assert.equal(series.of("m").times[0], 1005);
  assert.equal(series.rateAt(1000 + KEPT_SECONDS + 5, "m"), null);
});

test("counters_that_go_back_are_no_negative_rate", () => {
  const series = new Series();
  series.add(samples(1000, [[0, 0, 9, 9, 0], [0, 0, 0, 0, 0]]));
  assert.deepEqual(series.of("m").rate, [null, null]);
});
