// SPDX-License-Identifier: MIT
// The original site's client on a site of its own: another origin, in a real browser, with the
// request that it sends (an XMLHttpRequest that watches its upload, which makes browsers ask first).
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { browser, inspect, server, views, visit } from "./browser.mjs";

let site, origin;
before(async () => {
  site = createServer((request, response) => {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end("<!doctype html><title>Another site</title><p>Selfie2Anime</p>");
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${site.address().port}`;
});
after(() => site.close());

/** In the page: a picture by a canvas, as the original's uploader makes it, and its request. */
async function submit({ api, change }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 320;
  const context = canvas.getContext("2d");
  context.fillStyle = "#c96";
  context.fillRect(40, 40, 200, 240);
  const body = {
    email: "somebody@example.org",
    crop: { x: 40, y: 40, width: 240, height: 240 },
    photo: canvas.toDataURL("image/jpeg"),
    ...change,
  };
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${api}/analysis/selfie`);
    request.setRequestHeader("Content-Type", "application/json;charset=UTF-8");
    request.setRequestHeader("Accept", "application/json, text/plain, */*");
    const told = [];
    request.upload.onprogress = (event) => told.push(event.loaded);
    request.onload = () => resolve({ status: request.status, text: request.responseText, told: told.length,
                                     location: request.getResponseHeader("Location") });
    request.onerror = () => resolve({ status: 0 });
    request.send(JSON.stringify(body));
  });
}

async function elsewhere() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(origin);
  return { page, close: () => context.close() };
}

const done = {};

test("a_selfie_is_taken_from_a_page_of_another_origin", async () => {
  const { page, close } = await elsewhere();
  const count = () => page.evaluate(async (api) => (await (await fetch(`${api}/analysis/count`)).json()).count, server);
  const before = await count();
  const answer = await page.evaluate(submit, { api: server });
  assert.equal(answer.status, 200);
  assert.equal(answer.text, "");
  assert.ok(answer.told > 0, "the upload's progress was seen");
  for (let i = 0; i < 200 && (await count()) <= before; i++) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok((await count()) > before);
  done.viewer = answer.location;
  await close();
});

test("a_refusal_can_be_read_by_that_page", async () => {
  const { page, close } = await elsewhere();
  const answer = await page.evaluate(submit, { api: server, change: { email: "nobody" } });
  assert.equal(answer.status, 422);
  assert.equal(JSON.parse(answer.text).field, "email");
  await close();
});

test("our_own_routes_stay_closed_to_it", async () => {
  const { page, close } = await elsewhere();
  const reached = await page.evaluate(
    (api) => fetch(`${api}/v1/jobs`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })
      .then(() => true, () => false), server);
  assert.equal(reached, false);
  await close();
});

for (const [name, view] of Object.entries(views))
  test(`the_viewer_frames_the_picture_on_${name}`, async () => {
    const { page, complaints, close } = await visit(view, new URL(done.viewer).pathname + new URL(done.viewer).search);
    await page.waitForSelector("#frame[data-framed=true]", { timeout: 60000 });
    const size = await page.evaluate(() => {
      const image = document.querySelector("#frame img");
      return [image.naturalWidth, image.naturalHeight];
    });
    assert.deepEqual(size, [600, 600]);
    await inspect(page, `compat-viewer-${name}`);
    assert.deepEqual(complaints, []);
    await close();
  });
