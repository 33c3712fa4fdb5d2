// SPDX-License-Identifier: MIT
// Handing in, in a real browser against the real programs: how it looks, choosing and cropping, settings, pictures of
// all kinds. Bad lines, reloads and no scripts are in submit_lines.test.mjs.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { desk, inspect, phone, views } from "./browser.mjs";
import { answerWith, box, choose, file, fill, handIn, jpeg, named, open, portrait, refusal, sentBy, sentPicture, textOf, turned } from "./submit.mjs";

const heic = file("../data/pictures/tiles.heic");
const notAPicture = file("browser.mjs");

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
  await page.waitForFunction(() => document.querySelector(".cropper-container")?.clientWidth < 330);
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
