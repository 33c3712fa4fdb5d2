// SPDX-License-Identifier: MIT
// The mail as a mail program shows it, and the page behind its last link.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { accessibilityProblems, browser, desk, inspect, look, phone, views, visit } from "./browser.mjs";
import { finished } from "./jobs.mjs";

const outbox = process.env.DARKROOM_OUTBOX;
const sizes = { phone, desk: { viewport: { width: 800, height: 900 } } };

/** The mail that went out for this job, as text; waits for it. */
async function mailOf(job) {
  for (let tries = 0; tries < 600; tries++) {
    const name = readdirSync(outbox, { withFileTypes: true }).find((f) => f.name.startsWith(job.id))?.name;
    if (name) return readFileSync(`${outbox}/${name}`, "latin1");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no mail of ${job.id}`);
}

/** The body of the first part of that type. */
function part(mail, type) {
  const [, encoding, body] = mail.match(
    new RegExp(`Content-Type: ${type}[^]*?Content-Transfer-Encoding: (\\S+)[^]*?\\r\\n\\r\\n([^]*?)\\r\\n--=_`),
  );
  if (encoding === "base64") return Buffer.from(body, "base64");
  const bytes = body.replace(/=\r\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
}

/** Its HTML with the picture in place, as a mail program shows it. */
function shown(mail) {
  const picture = `data:image/jpeg;base64,${part(mail, "image/jpeg").toString("base64")}`;
  return part(mail, "text/html").toString("utf8").replace(/cid:[^"]+/, picture);
}

for (const lang of ["en", "nl", "ru", "zh"])
  test(`the_mail_in_${lang}_is_readable_in_any_light`, async () => {
    const mail = await mailOf(await finished({ email: `${lang}@example.org`, lang }));
    for (const [size, view] of Object.entries(sizes))
      for (const colorScheme of ["light", "dark"]) {
        const context = await browser.newContext({ ...view, colorScheme, offline: true });
        const page = await context.newPage();
        const asked = [];
        page.on("request", (request) => asked.push(request.url()));
        await page.setContent(shown(mail));
        await look(page, `mail-${lang}-${size}-${colorScheme}`);
        assert.equal(await accessibilityProblems(page), "");
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
        const image = await page.locator("img").evaluate((img) => [img.complete, img.naturalWidth, img.width]);
        assert.deepEqual(image, [true, 256, 256]);
        assert.deepEqual(asked.filter((url) => !url.startsWith("data:")), []);
        await context.close();
      }
  });

test("one_link_stops_mails_and_the_page_behind_it_starts_them_again", async () => {
  const mail = await mailOf(await finished({ email: "stop@example.org", lang: "nl" }));
  const [, link] = mail.match(/^List-Unsubscribe: <(.*)>\r$/m);
  const again = { path: new URL(link).pathname + new URL(link).search };
  for (const [name, view] of Object.entries(views)) {
    const { page, complaints, close } = await visit({ ...view, javaScriptEnabled: true }, again.path);
    assert.equal(await page.locator("html").getAttribute("lang"), "nl");
    await inspect(page, `unsubscribe-${name}`);
    await page.getByRole("button", { name: "Stop de mails" }).click();
    await page.getByRole("heading", { name: "Geen mails meer" }).waitFor();
    await inspect(page, `unsubscribed-${name}`);
    await page.goto(again.path);
    await page.getByRole("button", { name: "Stuur toch weer mails" }).click();
    await page.getByRole("heading", { name: "Je krijgt weer mails" }).waitFor();
    await inspect(page, `subscribed-${name}`);
    assert.deepEqual(complaints, []);
    await close();
  }
});

test("without_scripts_it_is_the_same", async () => {
  const mail = await mailOf(await finished({ email: "plain@example.org" }));
  const [, link] = mail.match(/^List-Unsubscribe: <(.*)>\r$/m);
  const { page, close } = await visit({ ...phone, javaScriptEnabled: false }, new URL(link).pathname);
  await page.getByRole("button", { name: "Stop the mails" }).click();
  await page.getByRole("heading", { name: "No more mails" }).waitFor();
  await page.getByRole("button", { name: "Send mails again" }).click();
  await page.getByRole("heading", { name: "Mails are on again" }).waitFor();
  await close();
});
