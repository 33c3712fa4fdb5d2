// SPDX-License-Identifier: MIT
// The API's pages: read on every screen and without scripts, and tried out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accountKey, browser, inspect, server, views, visit } from "./browser.mjs";

for (const [name, view] of Object.entries(views)) {
  test(`the_list_is_readable_on_${name}`, async () => {
    const { page, complaints, close } = await visit(view, "/docs");
    await page.getByText("curl", { exact: true }).click();
    assert.match(await page.locator("pre").first().textContent(), /Idempotency-Key/);
    await inspect(page, `docs-${name}`);
    assert.deepEqual(complaints, []);
    await close();
  });

  test(`an_operation_is_readable_on_${name}`, async () => {
    const { page, complaints, close } = await visit(view, "/docs/submitJob");
    await page.waitForSelector("#try:not([hidden])");
    await inspect(page, `docs-operation-${name}`);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("everything_can_be_read_without_scripts", async () => {
  const context = await browser.newContext({ javaScriptEnabled: false, baseURL: server });
  const page = await context.newPage();
  await page.goto("/docs");
  const count = await page.locator(".operations a").count();
  assert.ok(count > 30, `${count} operations`);
  await page.getByRole("link", { name: /\/v1\/jobs\/\{id\} A job as it is now/ }).click();
  await page.getByRole("heading", { level: 1, name: "A job as it is now" }).waitFor();
  assert.equal(await page.locator("#try").isVisible(), false);
  await context.close();
});

test("every_operation_has_a_page", async () => {
  const { page, close } = await visit({}, "/docs");
  const links = await page.locator(".operations a").evaluateAll((all) => all.map((one) => one.href));
  for (const link of links) assert.equal((await page.request.get(link)).status(), 200, link);
  assert.equal((await page.request.get("/docs/nothing")).status(), 404);
  await close();
});

test("an_operation_is_tried_out", async () => {
  const { page, complaints, close } = await visit({}, "/docs/listModels");
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForSelector("#try-answer .good");
  assert.match(await page.locator("#try-answer").textContent(), /portrait-drawing/);
  assert.deepEqual(complaints, []);
  await close();
});

test("a_job_is_submitted_from_its_page_and_looked_at", async () => {
  const { page, close } = await visit({}, "/docs/submitJob");
  const square = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 64;
    canvas.getContext("2d").fillRect(8, 8, 40, 40);
    return canvas.toDataURL("image/png").split(",")[1];
  });
  await page.setInputFiles("#try-file", { name: "a.png", mimeType: "image/png", buffer: Buffer.from(square, "base64") });
  await page.waitForFunction(() => document.querySelector("#try-body").value.includes("data:image/png"));
  await page.fill("#try-header-Prefer", "wait=30");
  await page.fill("#try-token", accountKey);
  assert.match(await page.locator("#try-curl").textContent(), /-H 'Prefer: wait=30'/);
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForSelector("#try-answer .good", { timeout: 40000 });
  const answer = JSON.parse(await page.locator("#try-answer pre").nth(1).textContent());
  assert.equal(answer.state, "succeeded");
  // The key stays in this tab, and the result is shown.
  await page.goto("/docs/getResult");
  assert.equal(await page.inputValue("#try-token"), accountKey);
  await page.fill("#try-path-id", answer.id);
  await page.fill("#try-query-format", "jpeg");
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForSelector("#try-answer img");
  await close();
});

test("a_refusal_is_shown_as_it_came", async () => {
  const { page, close } = await visit({}, "/docs/listQueues");
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForSelector("#try-answer .problem");
  assert.match(await page.locator("#try-answer").textContent(), /problems\/unauthorized/);
  await close();
});
