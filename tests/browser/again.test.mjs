// SPDX-License-Identifier: MIT
// A picture that was made here, made again: its settings are read from the file, with scripts and without.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { desk, inspect, phone, views, visit } from "./browser.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "darkroom-again-"));
after(() => rmSync(folder, { recursive: true }));

/** A result as anybody may have it, made by the worker's own program. */
function make(model, ...options) {
  const out = join(folder, `${model}.png`);
  execFileSync(join(process.env.DARKROOM_BUILD, "worker/darkroom-worker"),
    ["run", model, "--models", join(root, "models"), "--output", out, ...options]);
  return out;
}

const digits = make("digits", "--params", '{"number": "1984", "seed": 4294967295}');
const drawing = make("portrait-drawing", "--input", join(root, "docs/images/astronaut.png"));

/** What a browser says of a page with a status of 422. */
const isRefusal = (complaint) => complaint.includes("422");

async function read(page, file) {
  await page.goto("/again");
  await page.setInputFiles("#file", file);
  await Promise.all([page.waitForNavigation(), page.click("main button[type=submit]")]);
}

for (const [name, view] of Object.entries(views))
  test(`the_page_is_readable_on_${name}`, async () => {
    const { page, complaints, close } = await visit(view, "/again");
    await inspect(page, `again-${name}`);
    await read(page, drawing);
    await inspect(page, `again-drawing-${name}`);
    assert.deepEqual(complaints, []);
    await close();
  });

test("settings_of_digits_fill_the_form_and_give_the_same_file", async () => {
  const { page, complaints, close } = await visit(desk, "/m/digits");
  await page.click("main a[href='/again']");
  await page.waitForURL("**/again");
  await read(page, digits);
  assert.equal(await page.inputValue("#param-number"), "1984");
  assert.equal(await page.inputValue("#param-seed"), "4294967295");
  await inspect(page, "again-filled");
  await page.check("#consent");
  await page.click("#submit");
  await page.waitForURL(/\/j\/[0-9a-f]{34}\?token=/);
  const url = new URL(page.url());
  const link = `/v1${url.pathname.replace("/j/", "/jobs/")}/result?format=png&token=${url.searchParams.get("token")}`;
  let answer;
  for (const end = Date.now() + 20000; Date.now() < end;) {
    answer = await page.request.get(link);
    if (answer.status() === 200) break;
    await page.waitForTimeout(100);
  }
  assert.deepEqual(await answer.body(), readFileSync(digits));
  assert.deepEqual(complaints, []);
  await close();
});

test("without_scripts_too", async () => {
  const { page, close } = await visit({ ...phone, javaScriptEnabled: false });
  await read(page, digits);
  assert.equal(await page.inputValue("#param-number"), "1984");
  await page.check("#consent");
  await Promise.all([page.waitForURL(/\/j\/[0-9a-f]{34}\?token=/), page.click("#submit")]);
  await close();
});

test("what_cannot_be_made_again_is_said_in_the_visitor_s_language", async () => {
  const strange = join(folder, "strange.png"), text = join(folder, "text.png"), cut = join(folder, "cut.png");
  writeFileSync(strange, readFileSync(join(root, "tests/data/pictures/rgb8.png")));
  writeFileSync(text, "<script>alert(1)</script>");
  writeFileSync(cut, readFileSync(digits).subarray(0, 300));
  const rows = [
    [drawing, "en-GB", /makes its pictures of another picture/],
    [drawing, "nl-NL", /van een ander beeld/],
    [strange, "en-GB", /does not say that it was made here/],
    [strange, "ru-RU", /не сказано, что оно сделано здесь/],
    [text, "zh-CN", /不是这里能读取的图片/],
    [cut, "en-GB", /damaged/],
  ];
  for (const [file, locale, words] of rows) {
    const { page, complaints, close } = await visit({ ...phone, locale });
    await read(page, file);
    assert.match(await page.textContent("main [role=alert]"), words);
    assert.deepEqual(complaints.filter((complaint) => !isRefusal(complaint)), []);
    await close();
  }
});

test("words_in_a_forged_file_stay_words", async () => {
  const forged = join(folder, "forged.png");
  const whole = readFileSync(digits, "latin1");
  // A webp that is nothing but a packet: no checksum stands in the way of whoever forges one.
  const packet = whole.slice(whole.indexOf("<?xpacket"), whole.indexOf("<?xpacket end") + 19)
    .replace(/<darkroom:Parameters>.*?</, "<darkroom:Parameters>{\"number\":\"&lt;img src=x onerror=alert(1)>\"}<")
    .replaceAll("<darkroom:Weights>7782", "<darkroom:Weights>0000");
  const chunk = Buffer.alloc(8 + packet.length + (packet.length & 1));
  chunk.write("XMP ");
  chunk.writeUInt32LE(packet.length, 4);
  chunk.write(packet, 8, "latin1");
  const head = Buffer.from("RIFF\0\0\0\0WEBP", "latin1");
  head.writeUInt32LE(4 + chunk.length, 4);
  writeFileSync(forged, Buffer.concat([head, chunk]));
  const { page, complaints, close } = await visit(desk);
  page.on("dialog", () => assert.fail("a script ran"));
  await read(page, forged);
  assert.match(await page.textContent("main"), /<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator("main img").count(), 0);
  assert.deepEqual(complaints.filter((complaint) => !isRefusal(complaint)), []);
  await close();
});
