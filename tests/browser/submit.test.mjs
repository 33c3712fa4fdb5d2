// SPDX-License-Identifier: MIT
// Handing in, in a real browser against the real programs: choosing, cropping, settings, bad lines, reloads, no
// scripts. `trial` is a model that run.py makes, with every kind of parameter and a part of 3:4.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { desk, inspect, operatorKey, phone, server, views, visit } from "./browser.mjs";

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const portrait = file("../../docs/images/astronaut.png");
const heic = file("../data/pictures/tiles.heic");
const notAPicture = file("browser.mjs");
const JOB = /\/j\/[0-9a-f]{34}\?token=/;

/** The page of a model, ready, with what is sent kept for a look: the browser hands out no body of an upload. */
async function open(options, model = "trial") {
  const visited = await visit(options);
  await visited.page.addInitScript(() => {
    globalThis.sent = [];
    const { send, setRequestHeader } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
      if (name === "Idempotency-Key") this.key = value;
      setRequestHeader.call(this, name, value);
    };
    XMLHttpRequest.prototype.send = function (form) {
      globalThis.sent.push({ ...Object.fromEntries([...form].filter(([, v]) => typeof v === "string")), key: this.key });
      const input = form.get("input");
      if (input) createImageBitmap(input).then((image) => {
        const { width, height } = image;
        const canvas = new OffscreenCanvas(width, height);
        canvas.getContext("2d").drawImage(image, 0, 0);
        const pixel = (x, y) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
        globalThis.picture = { width, height, bytes: input.size, kind: input.type, corner: pixel(5, 5), middle: pixel(width / 2, height / 2) };
      }, () => { globalThis.picture = { bytes: input.size, kind: input.type }; });
      send.call(this, form);
    };
  });
  await go(visited.page, model);
  return visited;
}

async function go(page, model = "trial") {
  await page.goto(`/m/${model}`);
  await ready(page);
}

const ready = (page) => page.waitForFunction(() => document.documentElement.dataset.ready === "submit");

/** Keeps the page where it is: what is sent is answered here, with what `answers` say one after the other. */
async function answerWith(page, ...answers) {
  await page.route("**/v1/jobs", (route) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return answer === "broken" ? route.abort("connectionreset") : route.fulfill(answer);
  });
}

const refusal = (status, code, more = {}) => ({
  status,
  contentType: "application/problem+json",
  headers: { "Retry-After": "1" },
  body: JSON.stringify({ type: `/problems/${code}`, status, title: "no", ...more }),
});

async function choose(page, path = portrait) {
  await page.setInputFiles("#file", path);
  await page.locator(".cropper-crop-box").waitFor();
}

const fill = async (page) => {
  await choose(page);
  await page.check("#consent");
};

const handIn = async (page) => {
  await page.click("#submit");
  await page.waitForURL(JOB);
};

/** Presses the button where the answer is a refusal of ours, and tells what was sent. */
async function sentBy(page) {
  await answerWith(page, refusal(422, "invalid", { field: "email" }));
  await page.check("#consent");
  await page.click("#submit");
  await page.locator("#problem-email:not([hidden])").waitFor();
  await page.unroute("**/v1/jobs");
  const sent = await page.evaluate(() => globalThis.sent.at(-1));
  return { ...sent, crop: sent.crop && JSON.parse(sent.crop), params: JSON.parse(sent.params) };
}

const sentPicture = async (page) => (await page.waitForFunction(() => globalThis.picture)).jsonValue();

const box = (page) => page.locator(".cropper-crop-box").boundingBox();

const textOf = (page, id) => page.textContent(`#${id}`);

async function submitted(model) {
  const answer = await fetch(`${server}/v1/queues`, { headers: { Authorization: `Bearer ${operatorKey}` } });
  return (await answer.json()).queues.find((queue) => queue.model === model).submitted;
}

// ---- looks ----

for (const [name, view] of Object.entries(views)) {
  test(`the_page_holds_in_every_state_on_${name}`, async () => {
    const { page, complaints, close } = await open(view);
    await inspect(page, `submit-${name}-1-empty`);
    await choose(page);
    await inspect(page, `submit-${name}-2-chosen`);
    await page.fill("#email", "no address");
    await page.click("#submit");
    await inspect(page, `submit-${name}-3-problems`);
    assert.deepEqual(complaints, []);
    await answerWith(page, refusal(503, "unavailable"));
    await page.fill("#email", "");
    await page.check("#consent");
    await page.click("#submit");
    await page.locator("#upload-text").filter({ hasText: "Trying again" }).waitFor();
    await inspect(page, `submit-${name}-4-waiting`);
    await close();
  });
}

for (const lang of ["nl", "ru", "zh"]) {
  test(`the_page_speaks_${lang}`, async () => {
    const { page, complaints, close } = await open({ ...phone, locale: lang });
    assert.equal(await page.getAttribute("html", "lang"), lang);
    await choose(page);
    await page.click("#submit");
    await inspect(page, `submit-${lang}`);
    assert.doesNotMatch(await page.textContent("body"), /submit\.|\{\{/);
    assert.deepEqual(complaints, []);
    await close();
  });
}

// ---- the way through ----

test("a_portrait_with_a_chosen_part_becomes_a_job", async () => {
  const { page, complaints, close } = await open(phone, "portrait-drawing");
  await fill(page);
  await page.fill("#email", "visitor@example.org");
  await handIn(page);
  const kept = await page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith("darkroom.job.")));
  assert.equal(kept.length, 1);
  assert.deepEqual(complaints, []);
  await close();
});

test("a_model_without_a_picture_needs_settings_alone", async () => {
  const { page, complaints, close } = await open(desk, "digits");
  assert.equal(await page.locator("#picture").count(), 0);
  await page.fill("#param-number", "12a");
  await page.check("#consent");
  await page.click("#submit");
  assert.notEqual(await textOf(page, "problem-number"), "");
  await page.fill("#param-number", "1234");
  assert.equal(await page.isVisible("#problem-number"), false);
  assert.equal(await page.isVisible("#failed"), false);
  await inspect(page, "submit-digits");
  await handIn(page);
  assert.deepEqual(complaints, []);
  await close();
});

test("settings_are_sent_as_what_they_are", async () => {
  const { page, close } = await open(desk);
  await choose(page);
  await page.fill("#param-strength", "0.75");
  await page.focus("#param-lines");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.textContent('output[for="param-lines"]'), "4");
  await page.selectOption("#param-paper", "white");
  await page.uncheck("#param-frame");
  await page.fill("#param-caption", "Für „Élise“ <b>");
  const seed = await page.inputValue("#param-seed");
  await page.click("[data-new-seed]");
  const fresh = Number(await page.inputValue("#param-seed"));
  assert.ok(fresh >= 0 && fresh <= 999999 && String(fresh) !== seed);
  const { params, lang, model } = await sentBy(page);
  assert.deepEqual(params, { strength: 0.75, lines: 4, paper: "white", frame: false, seed: fresh, caption: "Für „Élise“ <b>" });
  assert.deepEqual([lang, model], ["en", "trial"]);
  await close();
});

test("what_is_missing_is_told_beside_its_field_and_nothing_is_sent", async () => {
  const { page, close } = await open(phone);
  await page.click("#submit");
  assert.match(await textOf(page, "problem-input"), /Choose a picture first/);
  assert.match(await textOf(page, "problem-consent"), /consent/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "pick");
  await fill(page);
  await page.fill("#email", "visitor@");
  await page.click("#submit");
  assert.match(await textOf(page, "problem-email"), /e-mail address/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "email");
  assert.equal(await page.evaluate(() => globalThis.sent.length), 0);
  // What the browser lets pass the server refuses, and it is told in the same place.
  await page.fill("#email", "visitor@localhost");
  await page.click("#submit");
  await page.locator("#problem-email:not([hidden])").waitFor();
  await close();
});

// ---- the part ----

test("a_part_is_chosen_by_keyboard", async () => {
  const { page, close } = await open(desk);
  await choose(page);
  const first = await box(page);
  await page.focus(".cropper-crop-box");
  for (let i = 0; i < 12; i++) await page.keyboard.press("-");
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Shift+ArrowDown");
  const now = await box(page);
  assert.ok(now.width < first.width * 0.8, "minus makes the frame smaller");
  const { crop } = await sentBy(page);
  const scale = 512 / (first.height); // all of the picture's height was used
  assert.ok(Math.abs(crop.width / crop.height - 3 / 4) < 0.02, "it keeps its shape");
  assert.ok(Math.abs(crop.width - now.width * scale) <= 3, `${crop.width} is not ${now.width * scale}`);
  assert.match(await textOf(page, "crop-state"), new RegExp(`${crop.width} × ${crop.height} pixels`));
  await close();
});

test("a_part_is_chosen_by_dragging_and_stays_inside", async () => {
  const { page, close } = await open(desk);
  await choose(page);
  const drag = async (from, to) => {
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move(...to, { steps: 5 });
    await page.mouse.up();
  };
  const whole = await box(page);
  const corner = [whole.x + whole.width - 4, whole.y + whole.height - 4];
  await drag(corner, [corner[0] - whole.width / 2, corner[1] - whole.height / 2]);
  const half = await box(page);
  assert.ok(Math.abs(half.width - whole.width / 2) < 8, `half as wide, not ${half.width}`);
  await drag([half.x + half.width / 2, half.y + half.height / 2], [half.x + 5000, half.y + 5000]);
  const { crop } = await sentBy(page);
  assert.equal(crop.x + crop.width, 512);
  assert.equal(crop.y + crop.height, 512);
  await close();
});

test("two_fingers_zoom_the_picture_under_the_frame", async () => {
  const { page, context, close } = await open(phone);
  await choose(page);
  const before = await sentBy(page);
  await page.locator("#stage").scrollIntoViewIfNeeded();
  const { x, y, width, height } = await box(page);
  const [middleX, middleY] = [x + width / 2, y + height / 2];
  const fingers = await context.newCDPSession(page);
  const touch = (type, spread) => fingers.send("Input.dispatchTouchEvent", {
    type,
    touchPoints: spread === null ? [] : [-spread, spread].map((dx, id) => ({ x: middleX + dx, y: middleY, id })),
  });
  await touch("touchStart", 30);
  for (const spread of [40, 50, 60, 70, 80]) await touch("touchMove", spread);
  await touch("touchEnd", null);
  const after = await sentBy(page);
  assert.ok(after.crop.width < before.crop.width * 0.8, `${after.crop.width} of ${before.crop.width}`);
  assert.notEqual(after.key, before.key);
  await close();
});

test("the_part_stays_chosen_when_the_window_changes", async () => {
  const { page, close } = await open(desk);
  await choose(page);
  await page.focus(".cropper-crop-box");
  for (let i = 0; i < 9; i++) await page.keyboard.press("-");
  const before = await sentBy(page);
  await page.setViewportSize({ width: 4, height: 4 });
  await page.setViewportSize(phone.viewport);
  await page.waitForFunction(() => document.querySelector(".cropper-container").clientWidth < 330);
  const after = await sentBy(page);
  for (const side of ["x", "y", "width", "height"]) assert.ok(Math.abs(after.crop[side] - before.crop[side]) <= 1, side);
  await inspect(page, "submit-window-changed");
  await close();
});

test("zoom_has_buttons_and_can_start_over", async () => {
  const { page, close } = await open(phone);
  await choose(page);
  const first = (await sentBy(page)).crop;
  await page.click("#zoom-in");
  await page.click("#zoom-in");
  assert.ok((await sentBy(page)).crop.width < first.width);
  await page.click("#crop-reset");
  assert.deepEqual((await sentBy(page)).crop, first);
  await page.click("#another");
  assert.equal(await page.isVisible("#pick"), true);
  await close();
});

// ---- pictures of all kinds ----

/** A JPEG of this size, red in its upper left, as a browser writes it. */
async function jpeg(page, width, height) {
  const base64 = await page.evaluate(([w, h]) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d");
    context.fillStyle = "#2040c0";
    context.fillRect(0, 0, w, h);
    context.fillStyle = "#e01010";
    context.fillRect(0, 0, w / 4, h / 4);
    return canvas.toDataURL("image/jpeg", 0.9).split(",")[1];
  }, [width, height]);
  return Buffer.from(base64, "base64");
}

/** With an orientation in its EXIF, behind the mark that begins it. */
function turned(data, orientation) {
  const tiff = Buffer.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
  const body = Buffer.concat([Buffer.from("Exif\0\0", "latin1"), tiff]);
  const head = Buffer.from([0xff, 0xe1, 0, body.length + 2]);
  return Buffer.concat([data.subarray(0, 2), head, body, data.subarray(2)]);
}

const named = (name, mimeType, buffer) => ({ name, mimeType, buffer });

test("a_picture_goes_as_it_is_where_it_can", async () => {
  const { page, close } = await open(desk);
  const data = turned(await jpeg(page, 400, 300), 6);
  await choose(page, named("me.jpg", "image/jpeg", data));
  const { crop } = await sentBy(page);
  assert.equal((await sentPicture(page)).bytes, data.length);
  // Upright it is 300 x 400, which has the shape that is wanted.
  assert.deepEqual(crop, { x: 0, y: 0, width: 300, height: 400 });
  await close();
});

test("a_large_picture_is_made_smaller_and_upright", async () => {
  const { page, close } = await open(desk);
  await choose(page, named("large.jpg", "image/jpeg", turned(await jpeg(page, 5000, 2500), 6)));
  assert.match(await textOf(page, "preparing"), /1920 × 3840/);
  await sentBy(page);
  const { width, height, kind, corner, middle } = await sentPicture(page);
  assert.deepEqual([width, height, kind], [1920, 3840, "image/jpeg"]);
  assert.ok(middle[2] > 150 && corner[2] > 150, "the red corner went to the right");
  await close();
});

test("what_the_server_does_not_take_is_drawn_anew", async () => {
  const { page, close } = await open(desk);
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="400"><rect width="300" height="400" fill="#e01010"/></svg>';
  await choose(page, named("drawing.svg", "image/svg+xml", Buffer.from(svg)));
  await sentBy(page);
  const { width, height, kind, corner } = await sentPicture(page);
  assert.deepEqual([width, height, kind], [300, 400, "image/jpeg"]);
  assert.ok(corner[0] > 200);
  await close();
});

test("what_is_no_picture_is_told_before_any_upload", async () => {
  const { page, close } = await open(phone);
  for (const [chosen, says] of [
    [notAPicture, /no picture/],
    [named("cut.heic", "image/heic", readFileSync(heic).subarray(0, 500)), /no picture/],
    [named("large.heic", "image/heic", Buffer.concat([readFileSync(heic), Buffer.alloc(2000001)])), /too large: 2 MB/],
    [named("empty.jpg", "image/jpeg", Buffer.alloc(0)), /no picture/],
  ]) {
    await page.setInputFiles("#file", chosen);
    await page.locator("#problem-input").filter({ hasText: says }).waitFor();
  }
  assert.equal(await page.isVisible("#chosen"), false);
  await inspect(page, "submit-no-picture");
  await close();
});

test("a_heic_is_shown_by_a_preview_and_goes_as_it_is", async () => {
  const { page, complaints, close } = await open(phone);
  await choose(page, heic);
  const { crop } = await sentBy(page);
  assert.equal((await sentPicture(page)).bytes, readFileSync(heic).length);
  assert.equal(crop.height, 70); // 100 x 70
  assert.ok(Math.abs(crop.width - 52.5) <= 1);
  assert.deepEqual(complaints.filter((line) => !line.includes("422")), []);
  await inspect(page, "submit-heic");
  await handIn(page);
  await close();
});

test("a_part_of_a_large_heic_is_counted_in_its_own_pixels", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "darkroom-heic-"));
  const { page, close } = await open(desk);
  writeFileSync(join(folder, "shot.png"), await page.screenshot());
  try {
    execFileSync("heif-enc", ["-q", "50", "-p", "preset=ultrafast", "-o", join(folder, "shot.heic"), join(folder, "shot.png")]);
  } catch {
    context.skip("heif-enc is not installed");
    return;
  } finally {
    context.after(() => rmSync(folder, { recursive: true }));
    context.after(close);
  }
  await choose(page, join(folder, "shot.heic"));
  const { crop } = await sentBy(page);
  assert.deepEqual(crop, { x: 340, y: 0, width: 600, height: 800 });
});

test("a_picture_can_be_dropped_and_pasted", async () => {
  const { page, close } = await open(desk);
  const bytes = readFileSync(portrait).toString("base64");
  const give = (kind, id) => page.evaluate(([type, target, base64]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], "me.png", { type: "image/png" }));
    const init = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
    const event = type === "paste" ? new ClipboardEvent(type, init) : new DragEvent(type, init);
    document.getElementById(target).dispatchEvent(event);
  }, [kind, id, bytes]);
  await give("dragover", "drop");
  assert.equal(await page.locator("#drop.over").count(), 1);
  await give("drop", "drop");
  await page.locator(".cropper-crop-box").waitFor();
  await page.click("#another");
  await give("paste", "form");
  await page.locator(".cropper-crop-box").waitFor();
  await close();
});

test("a_picture_can_be_taken_with_the_camera", async () => {
  const { page, complaints, close } = await open(desk);
  await page.click("#take");
  await page.locator("#shutter:enabled").waitFor();
  await inspect(page, "submit-camera");
  await page.click("#shutter");
  await page.locator(".cropper-crop-box").waitFor();
  assert.equal(await page.evaluate(() => document.getElementById("viewfinder").srcObject), null);
  const { crop } = await sentBy(page);
  assert.ok(crop.width > 100);
  assert.deepEqual(complaints.filter((line) => !line.includes("422")), []);
  await close();
});

test("a_telephone_is_asked_for_its_own_camera", async () => {
  const { page, close } = await open(phone);
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#take")]);
  assert.equal(await chooser.element().getAttribute("capture"), "user");
  await chooser.setFiles(portrait);
  await page.locator(".cropper-crop-box").waitFor();
  await close();
});

test("without_the_tool_the_middle_is_used_and_the_page_says_so", async () => {
  const { page, close } = await open(phone);
  await page.route(/\/assets\/(chunk-|crop\.js)/, (route) => route.abort());
  await page.setInputFiles("#file", portrait);
  await page.locator("#crop-hint").filter({ hasText: "the middle is used" }).waitFor();
  await inspect(page, "submit-no-tool");
  assert.deepEqual((await sentBy(page)).crop, { x: 64, y: 0, width: 384, height: 512 });
  await close();
});

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
