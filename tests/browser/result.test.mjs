// SPDX-License-Identifier: MIT
// A picture that is ready: the slider, downloads, sharing, rating, once more, deleting; with scripts and without.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { desk, inspect, phone, server, views, visit } from "./browser.mjs";
import { api, finished, pageOf, remember } from "./jobs.mjs";

const heading = (page, text) => page.getByRole("heading", { level: 1, name: text }).waitFor();

let shared;
const aResult = async () => (shared ||= await finished());

async function open(view, job) {
  const visitor = await visit(view, "/about");
  await remember(visitor.page, job);
  await visitor.page.goto(pageOf(job));
  await heading(visitor.page, "Your picture is ready");
  return visitor;
}

const at = (page) => page.evaluate(() => document.getElementById("compare").style.getPropertyValue("--at"));

for (const [name, view] of Object.entries(views)) {
  test(`a_result_is_compared_with_what_was_before_on_${name}`, async () => {
    const { page, complaints, close } = await open(view, await aResult());
    await page.locator("#slider").waitFor();
    assert.equal(await at(page), "50%");
    await inspect(page, `result-${name}`);
    await page.focus("#slider");
    for (let i = 0; i < 5; i++) await page.keyboard.press("ArrowRight");
    assert.equal(await at(page), "55%");
    await page.keyboard.press("End");
    assert.equal(await at(page), "100%");
    const box = await page.locator("#compare").boundingBox();
    await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.25, box.y + box.height / 2, { steps: 5 });
    await page.mouse.up();
    assert.ok(Math.abs(parseFloat(await at(page)) - 25) < 6, await at(page));
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("the_slider_moves_under_a_finger", async () => {
  const { page, close } = await open(phone, await aResult());
  const box = await page.locator("#slider").boundingBox();
  await page.touchscreen.tap(box.x + box.width * 0.8, box.y + box.height / 2);
  await page.waitForFunction(() => parseFloat(document.getElementById("compare").style.getPropertyValue("--at")) > 70);
  await close();
});

test("a_crop_that_is_missing_leaves_the_result_alone", async () => {
  const { context, page, close } = await visit(desk, "/about");
  await context.route("**/crop?*", (route) => route.fulfill({ status: 404, body: "" }));
  await page.goto(pageOf(await aResult()));
  await page.locator(".before").waitFor({ state: "detached" });
  assert.equal(await page.locator("#slider").count(), 0);
  assert.equal(await page.locator("#picture").isVisible(), true);
  await close();
});

test("every_format_is_downloaded_and_is_a_picture", async () => {
  const { page, close } = await open(desk, await aResult());
  for (const [label, begins, ending] of [["PNG", "89504e47", "png"], ["JPEG", "ffd8ff", "jpg"], ["WebP", "52494646", "webp"]]) {
    const download = page.waitForEvent("download");
    await page.locator("#downloads").getByText(label, { exact: true }).click();
    const file = await download;
    assert.match(file.suggestedFilename(), new RegExp(`^portrait-drawing-[0-9a-f]{8}\\.${ending}$`));
    const bytes = readFileSync(await file.path());
    assert.ok(bytes.toString("hex").startsWith(begins), label);
    // Chromium decodes it, and sees the same picture: a lossy format may be off by a little.
    const off = await page.evaluate(async ({ data, type }) => {
      const pixels = async (source) => {
        const bitmap = await createImageBitmap(source);
        const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
        canvas.drawImage(bitmap, 0, 0);
        return canvas.getImageData(0, 0, bitmap.width, bitmap.height).data;
      };
      const mine = await pixels(new Blob([new Uint8Array(data)], { type }));
      const shown = await pixels(document.getElementById("picture"));
      if (mine.length !== shown.length) return 255;
      return mine.reduce((sum, value, i) => sum + Math.abs(value - shown[i]), 0) / mine.length;
    }, { data: [...bytes], type: `image/${label.toLowerCase()}` });
    assert.ok(off < (label === "PNG" ? 0.001 : 4), `${label} is off by ${off}`);
    assert.match(bytes.toString("latin1"), /trainedAlgorithmicMedia|[cC]omposite|algorithmicallyEnhanced/);
  }
  await close();
});

test("a_share_link_shows_the_result_and_nothing_else", async () => {
  const job = await aResult();
  const { context, page, close } = await open(phone, job);
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server });
  await page.click("#copy-button");
  await page.getByText("The link is copied.").waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(link, await page.inputValue("#share-link"));
  for (const token of Object.values(job.tokens)) assert.ok(!link.includes(token));

  const friend = await visit(phone, link.slice(server.length));
  await heading(friend.page, "Made in a darkroom");
  await inspect(friend.page, "result-shared");
  await friend.page.waitForFunction(() => document.getElementById("picture").naturalWidth > 0);
  for (const part of ["#rating", "#delete", "#again", "#share", "#slider", ".before"])
    assert.equal(await friend.page.locator(part).count(), 0, part);
  const image = await friend.page.locator('meta[property="og:image"]').getAttribute("content");
  const answer = await fetch(image);
  assert.equal(answer.headers.get("content-type"), "image/jpeg");
  assert.deepEqual(friend.complaints, []);
  await friend.close();
  await close();
});

test("the_native_share_sheet_gets_the_share_link", async () => {
  const { page, close } = await open(phone, await aResult());
  await page.evaluate(() => {
    navigator.share = async (what) => { globalThis.shared = what; };
    document.getElementById("share-button").hidden = false;
  });
  await page.click("#share-button");
  const what = await page.evaluate(() => globalThis.shared);
  assert.equal(what.url, await page.inputValue("#share-link"));
  await close();
});

test("a_rating_is_kept_and_may_change", async () => {
  const job = await aResult();
  const { page, complaints, close } = await open(desk, job);
  const rating = async () => (await api("GET", `/v1/jobs/${job.id}`, { token: job.tokens.view })).rating ?? null;
  const press = async (name, wanted) => {
    await page.getByRole("button", { name }).click();
    await page.getByRole("button", { name, pressed: wanted !== null }).waitFor();
    assert.equal(await rating(), wanted);
  };
  await press("I like it", "up");
  await press("I do not like it", "down");
  await page.reload();
  await page.getByRole("button", { name: "I do not like it", pressed: true }).waitFor();
  await inspect(page, "result-rated");
  await press("I do not like it", null);
  assert.deepEqual(complaints, []);
  await close();
});

test("once_more_with_other_settings_uploads_no_picture", async () => {
  const job = await finished({ model: "trial", params: { strength: 0.25, lines: 7, paper: "white", frame: false, seed: 5 } });
  const { page, complaints, close } = await open(phone, job);
  let sent = "";
  page.on("request", (request) => {
    if (request.method() === "POST") sent += request.postData() || "";
  });
  await page.click("#again");
  await page.waitForFunction(() => document.documentElement.dataset.ready === "submit");
  await page.waitForFunction(() => document.querySelector("#again img").naturalWidth > 0);
  await inspect(page, "again");
  assert.equal(await page.inputValue("#param-lines"), "7");
  assert.equal(await page.inputValue("#param-paper"), "white");
  assert.equal(await page.isChecked("#param-frame"), false);
  await page.fill("#param-seed", "6");
  await page.reload(); // loses nothing
  await page.waitForFunction(() => document.documentElement.dataset.ready === "submit");
  assert.equal(await page.inputValue("#param-seed"), "6");
  await page.check("#consent");
  await page.click("#submit");
  await page.waitForURL((url) => url.pathname.startsWith("/j/") && !url.pathname.includes(job.id));
  await heading(page, "Your picture is ready");
  await page.locator("#slider").waitFor();
  assert.match(await page.locator(".facts").textContent(), /Lines\s*7/);
  assert.ok(sent.includes(job.id) && !sent.includes('name="input"'), "the crop was named, not sent");
  assert.deepEqual(complaints, []);
  await close();
});

test("deleting_asks_and_then_leaves_nothing_here_or_there", async () => {
  const job = await finished();
  const { page, complaints, close } = await open(phone, job);
  await page.click("#delete");
  await heading(page, "Delete this picture?");
  await inspect(page, "delete-ask");
  await page.click("#back");
  await heading(page, "Your picture is ready");
  await page.click("#delete");
  await page.click("#confirm");
  await heading(page, "Deleted");
  await inspect(page, "delete-done");
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("job")).length), 0);
  assert.deepEqual(complaints, []);
  await page.goto(pageOf(job));
  await heading(page, "There is nothing here");
  await assert.rejects(api("GET", `/v1/jobs/${job.id}`, { token: job.tokens.view }), /404/);
  await page.goto(`/j/${job.id}/delete?token=${job.tokens.delete}`);
  await heading(page, "There is nothing here");
  await close();
});

test("without_scripts_everything_but_the_slider_is_there", async () => {
  const job = await finished();
  const { context, page, close } = await visit({ ...phone, javaScriptEnabled: false }, "/about");
  const cookie = { domain: new URL(server).hostname, path: `/j/${job.id}`, httpOnly: true, sameSite: "Strict" };
  await context.addCookies(["manage", "delete"].map((name) => ({ ...cookie, name, value: job.tokens[name] })));
  await page.goto(pageOf(job));
  await heading(page, "Your picture is ready");
  assert.equal(await page.locator("#before").isVisible(), true);
  assert.equal(await page.locator("#share-link").isVisible(), true);
  assert.equal(await page.locator("#downloads a").count(), 3);
  await page.getByRole("button", { name: "I like it" }).click();
  await page.getByRole("button", { name: "I like it", pressed: true }).waitFor();
  await page.click("#delete");
  await heading(page, "Delete this picture?");
  await page.click("#confirm");
  await heading(page, "Deleted");
  assert.equal((await context.cookies()).filter(({ name }) => name === "manage" || name === "delete").length, 0);
  await page.goto(pageOf(job));
  await heading(page, "There is nothing here");
  await close();
});
