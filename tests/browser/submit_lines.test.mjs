// SPDX-License-Identifier: MIT
// Handing in where something comes in between: bad lines, reloads, other tabs, a queue that waits, no scripts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { desk, inspect, phone, visit } from "./browser.mjs";
import { JOB, answerWith, choose, fill, go, handIn, jpeg, named, open, portrait, ready, refusal, submitted, textOf } from "./submit.mjs";

// ---- lines that break ----

test("pressing_twice_hands_in_once", async () => {
  const { page, close } = await open(desk, "portrait-drawing");
  await fill(page);
  const before = await submitted("portrait-drawing");
  await page.dblclick("#submit");
  await page.waitForURL(JOB);
  assert.equal(await submitted("portrait-drawing"), before + 1);
  await close();
});

test("a_broken_upload_is_tried_again_with_the_same_key_and_says_so", async () => {
  const { page, close } = await open(phone);
  await fill(page);
  await answerWith(page, "broken", refusal(503, "unavailable"), refusal(409, "in-flight"), refusal(422, "invalid", { field: "email" }));
  await page.click("#submit");
  await page.locator("#upload-text").filter({ hasText: "The connection broke" }).waitFor();
  await page.locator("#upload-text").filter({ hasText: "We are busy" }).waitFor();
  await page.locator("#problem-email:not([hidden])").waitFor({ timeout: 20000 });
  const keys = await page.evaluate(() => globalThis.sent.map(({ key }) => key));
  assert.equal(keys.length, 4);
  assert.equal(new Set(keys).size, 1);
  assert.match(keys[0], /^[0-9a-f]{32}$/);
  await close();
});

test("an_upload_can_be_stopped_and_goes_on_under_the_same_key", async () => {
  const { page, close } = await open(phone);
  await fill(page);
  await answerWith(page, "broken");
  await page.click("#submit");
  await page.locator("#upload-text").filter({ hasText: "Trying again" }).waitFor();
  await page.click("#stop");
  await page.locator("#failed").filter({ hasText: "Stopped" }).waitFor();
  assert.equal(await page.isEnabled("#submit"), true);
  await page.unroute("**/v1/jobs");
  const [first] = await page.evaluate(() => globalThis.sent.map(({ key }) => key));
  await page.evaluate(() => sessionStorage.setItem("expected", "key"));
  const [request] = await Promise.all([page.waitForRequest("**/v1/jobs"), page.click("#submit")]);
  assert.equal(request.headers()["idempotency-key"], first);
  await page.waitForURL(JOB);
  await close();
});

test("offline_in_the_middle_of_an_upload_waits_and_goes_on_by_itself", async () => {
  const { page, context, close } = await open(phone);
  const noise = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [900, 1200];
    const context = canvas.getContext("2d");
    const image = context.createImageData(900, 1200);
    for (let i = 0; i < image.data.length; i += 65536) crypto.getRandomValues(image.data.subarray(i, i + 65536));
    for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
    context.putImageData(image, 0, 0);
    return canvas.toDataURL("image/jpeg", 0.85).split(",")[1];
  });
  await choose(page, named("noise.jpg", "image/jpeg", Buffer.from(noise, "base64")));
  await page.check("#consent");
  const before = await submitted("trial");
  const line = await context.newCDPSession(page);
  await line.send("Network.enable");
  const slow = (offline, rate) => line.send("Network.emulateNetworkConditions", {
    offline, latency: 0, downloadThroughput: -1, uploadThroughput: rate,
  });
  await slow(false, 150000);
  await page.click("#submit");
  await page.locator("#upload-text").filter({ hasText: /Uploading: [1-9]/ }).waitFor();
  assert.ok(Number(await page.getAttribute("#upload-progress", "value")) > 0);
  await inspect(page, "submit-uploading");
  await context.setOffline(true);
  await page.locator("#upload-text").filter({ hasText: "You are offline" }).waitFor();
  await inspect(page, "submit-offline");
  await slow(false, -1);
  await context.setOffline(false);
  await page.waitForURL(JOB, { timeout: 20000 });
  assert.equal(await submitted("trial"), before + 1);
  await close();
});

// ---- reloads, tabs ----

test("a_reload_loses_nothing", async () => {
  const { page, complaints, close } = await open(desk);
  await choose(page);
  await page.fill("#email", "visitor@example.org");
  await page.selectOption("#param-paper", "white");
  await page.uncheck("#param-frame");
  await page.fill("#param-strength", "0.2");
  await page.focus(".cropper-crop-box");
  for (let i = 0; i < 8; i++) await page.keyboard.press("-");
  await answerWith(page, refusal(422, "invalid", { field: "email" }));
  await page.check("#consent");
  await page.click("#submit");
  await page.locator("#problem-email:not([hidden])").waitFor();
  const before = await page.evaluate(() => globalThis.sent.at(-1));
  await page.reload();
  await page.locator(".cropper-crop-box").waitFor();
  await ready(page);
  assert.equal(await page.isChecked("#consent"), true);
  await page.click("#submit");
  await page.locator("#problem-email:not([hidden])").waitFor();
  const after = await page.evaluate(() => globalThis.sent.at(-1));
  assert.deepEqual(after, before);
  assert.deepEqual(complaints.filter((line) => !line.includes("422")), []);
  await close();
});

test("a_reload_in_the_middle_of_an_upload_goes_on_under_the_same_key", async () => {
  const { page, close } = await open(phone);
  await fill(page);
  await answerWith(page, "broken");
  await page.click("#submit");
  await page.locator("#upload-text").filter({ hasText: "Trying again" }).waitFor();
  const [first] = await page.evaluate(() => globalThis.sent.map(({ key }) => key));
  await page.reload();
  await page.locator("#failed").filter({ hasText: "loaded anew" }).waitFor();
  await page.locator(".cropper-crop-box").waitFor();
  await page.unroute("**/v1/jobs");
  const [request] = await Promise.all([page.waitForRequest("**/v1/jobs"), page.click("#submit")]);
  assert.equal(request.headers()["idempotency-key"], first);
  await page.waitForURL(JOB);
  // Handed in, it is no draft any more.
  await go(page);
  assert.equal(await page.isVisible("#pick"), true);
  assert.equal(await page.isChecked("#consent"), false);
  await close();
});

test("two_tabs_keep_apart_what_is_filled_in", async () => {
  const { page, context, close } = await open(desk);
  const other = await context.newPage();
  await go(other);
  await choose(page);
  await choose(other, named("red.jpg", "image/jpeg", await jpeg(other, 300, 400)));
  await page.fill("#param-caption", "one");
  await other.fill("#param-caption", "two");
  await Promise.all([page.reload(), other.reload()]);
  for (const tab of [page, other]) await tab.locator(".cropper-crop-box").waitFor();
  assert.equal(await page.inputValue("#param-caption"), "one");
  assert.equal(await other.inputValue("#param-caption"), "two");
  const before = await submitted("trial");
  for (const tab of [page, other]) await tab.check("#consent");
  await Promise.all([handIn(page), handIn(other)]);
  assert.notEqual(page.url(), other.url());
  assert.equal(await submitted("trial"), before + 2);
  await close();
});

// ---- the queue ----

test("the_queue_is_told_before_the_button_is_pressed", async () => {
  const { page, close } = await visit(phone);
  const say = (queue) => page.route("**/v1/models/trial", (route) => route.fulfill({ json: { queue } }));
  await page.clock.install();
  await page.goto("/m/trial");
  assert.match(await textOf(page, "queue"), /In the queue: \d+\. Yours should take about \d+ s/);
  for (const [queue, says] of [
    [{ state: "open", queued: 4000, wait_seconds: 600 }, /4000.*10 min/],
    [{ state: "open", queued: 4, wait_seconds: null }, /No machine is at work/],
    [{ state: "paused", queued: 4, wait_seconds: null }, /Work is paused/],
    [{ state: "full", queued: 4, wait_seconds: 3 }, /The queue is full/],
    [{ state: "unknown", queued: null, wait_seconds: null }, /cannot be said/],
  ]) {
    await page.unroute("**/v1/models/trial");
    await say(queue);
    await page.clock.runFor(11000);
    await page.locator("#queue").filter({ hasText: says }).waitFor();
  }
  await close();
});

// ---- without scripts ----

test("it_works_without_scripts", async () => {
  const { page, complaints, close } = await visit({ ...phone, javaScriptEnabled: false }, "/m/trial");
  assert.match(await page.textContent("main"), /The middle of it is used/);
  await page.setInputFiles("#file", portrait);
  await page.fill("#email", "visitor@localhost");
  await page.fill("#param-caption", "kept");
  await page.check("#consent");
  await page.click("#submit");
  await page.locator("#problem-email").waitFor();
  assert.match(await page.title(), /^Not handed in yet/);
  assert.equal(await page.inputValue("#param-caption"), "kept");
  assert.equal(await page.isChecked("#consent"), true);
  await page.fill("#email", "");
  await page.setInputFiles("#file", portrait);
  await page.click("#submit");
  await page.waitForURL(JOB);
  const cookies = await page.context().cookies(page.url());
  assert.deepEqual(cookies.filter((c) => c.path.startsWith("/j/")).map((c) => [c.name, c.httpOnly, c.sameSite]).sort(),
    [["delete", true, "Strict"], ["manage", true, "Strict"]]);
  assert.deepEqual(complaints.filter((line) => !line.includes("422")), []);
  await close();
});
