// SPDX-License-Identifier: MIT
// A visitor's way from a portrait to its drawing, in a real browser against the real programs.
// run.py starts those and this; DARKROOM_SERVER says where.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { desk, inspect, look, phone, views, visit } from "./browser.mjs";

const portrait = fileURLToPath(new URL("../../docs/images/astronaut.png", import.meta.url));
const notAPicture = fileURLToPath(import.meta.url);

const open = (options) => visit(options, "/m/portrait-drawing");

async function choosePortrait(page) {
  await page.setInputFiles("#file", portrait);
  await page.locator("#frame").waitFor();
}

const frameBox = (page) => page.locator("#frame").boundingBox();

async function handIn(page) {
  await page.click("#submit");
  await page.waitForURL(/\/j\/[0-9a-f]{34}\?token=/);
}

const resultIsShown = (page) =>
  page.waitForFunction(() => {
    const picture = document.getElementById("picture");
    return picture.complete && picture.naturalWidth > 0;
  });

for (const [name, view] of Object.entries(views)) {
  test(`a_cropped_portrait_reaches_its_result_on_${name}`, async () => {
    const { page, complaints, close } = await open(view);
    await inspect(page, `${name}-1-submit`);
    await choosePortrait(page);
    await page.fill("#email", "visitor@example.org");
    await inspect(page, `${name}-2-crop`);
    await handIn(page);
    await resultIsShown(page);
    await inspect(page, `${name}-3-result`);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("the_crop_that_was_chosen_is_the_crop_that_is_sent", async () => {
  const { context, page } = await open(desk);
  // The browser does not hand out the body of an upload: look at the form when it is sent.
  await page.addInitScript(() => {
    const send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.send = function (form) {
      sessionStorage.setItem("sent-crop", form.get("crop"));
      send.call(this, form);
    };
  });
  await page.reload();
  await choosePortrait(page);
  const before = await frameBox(page);
  await page.focus("#frame");
  for (let i = 0; i < 20; i++) await page.keyboard.press("-");
  for (let i = 0; i < 5; i++) await page.keyboard.press("ArrowRight");
  const box = await frameBox(page);
  assert.ok(box.width < before.width * 0.8, "minus makes the square smaller");
  assert.ok(Math.abs(box.width - box.height) < 1, "it stays a square");

  await handIn(page);
  const crop = JSON.parse(await page.evaluate(() => sessionStorage.getItem("sent-crop")));
  assert.equal(crop.width, crop.height);
  const scale = 512 / before.width;
  assert.ok(Math.abs(crop.width - box.width * scale) <= 3, "its size is in the picture's pixels");
  assert.ok(Math.abs(crop.x - (box.x - before.x) * scale) <= 3, "and so is its place");
  await context.close();
});

test("the_square_moves_and_resizes_by_dragging_and_stays_inside", async () => {
  const { context, page } = await open(desk);
  await choosePortrait(page);
  const whole = await frameBox(page);
  const drag = async (from, to) => {
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move(...to, { steps: 5 });
    await page.mouse.up();
  };
  const corner = [whole.x + whole.width - 8, whole.y + whole.height - 8];
  await drag(corner, [corner[0] - whole.width / 2, corner[1] - whole.width / 2]);
  const half = await frameBox(page);
  assert.ok(Math.abs(half.width - whole.width / 2) < 6, `half as wide, not ${half.width}`);
  await drag([half.x + 20, half.y + 20], [half.x + 5000, half.y + 5000]);
  const moved = await frameBox(page);
  assert.ok(Math.abs(moved.x + moved.width - (whole.x + whole.width)) < 2, "it stops at the edge");
  assert.ok(Math.abs(moved.width - half.width) < 2, "and keeps its size");
  await context.close();
});

test("a_file_that_is_no_picture_is_explained_before_any_upload", async () => {
  const { context, page } = await open(phone);
  await page.setInputFiles("#file", notAPicture);
  await page.locator("#problem-input:not([hidden])").waitFor();
  assert.match(await page.textContent("#problem-input"), /JPEG, PNG or WebP/);
  assert.equal(await page.isDisabled("#submit"), true);
  await look(page, "phone-problem");
  await context.close();
});

test("a_malformed_address_is_explained_beside_its_field", async () => {
  const { context, page } = await open(phone);
  await choosePortrait(page);
  await page.fill("#email", "visitor@");
  await page.click("#submit");
  assert.match(await page.textContent("#problem-email"), /e-mail address/);
  // What the browser lets pass the server refuses, and its words land in the same place.
  await page.fill("#email", "visitor@localhost");
  await page.click("#submit");
  await page.locator("#problem-email:not([hidden])").waitFor();
  assert.notEqual(await page.textContent("#problem-email"), "");
  await context.close();
});

test("an_upload_while_offline_says_so_and_can_be_repeated", async () => {
  const { context, page } = await open(phone);
  await choosePortrait(page);
  await context.setOffline(true);
  await page.click("#submit");
  await page.locator("#problem:not([hidden])").waitFor();
  assert.match(await page.textContent("#problem"), /cannot be reached/);
  await context.setOffline(false);
  await handIn(page);
  await resultIsShown(page);
  await context.close();
});

test("a_result_can_be_deleted_from_the_browser_that_submitted_it", async () => {
  const { context, page } = await open(phone);
  await choosePortrait(page);
  await handIn(page);
  await resultIsShown(page);
  const address = page.url();
  await page.click("#delete");
  await page.waitForURL(/\/delete\?token=/);
  await inspect(page, "phone-delete");
  await page.click("#confirm");
  await page.locator("#done:not([hidden])").waitFor();
  await page.goto(address);
  await page.locator("#problem:not([hidden])").waitFor();
  assert.match(await page.textContent("#problem"), /gone/);
  await look(page, "phone-gone");
  await context.close();
});

test("a_link_with_a_wrong_token_shows_nothing", async () => {
  const { context, page } = await open(phone);
  await choosePortrait(page);
  await handIn(page);
  await page.goto(`${new URL(page.url()).pathname}?token=AAAAAAAAAAAAAAAAAAAAAA`);
  await page.locator("#problem:not([hidden])").waitFor();
  assert.equal(await page.isHidden("#result"), true);
  await context.close();
});
