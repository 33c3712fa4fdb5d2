// SPDX-License-Identifier: MIT
// A picture that waits: its place and time, live and by reload, cancel, a lost line, two tabs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, desk, inspect, phone, server, views, visit } from "./browser.mjs";
import { api, ended, finished, handIn, pageOf, paused, remember, resume } from "./jobs.mjs";

const heading = (page, text) => page.getByRole("heading", { level: 1, name: text }).waitFor();
const place = (page) => page.locator("#place").textContent();

for (const [name, view] of Object.entries(views)) {
  test(`a_picture_that_waits_is_followed_to_its_end_on_${name}`, async () => {
    let job;
    const { page, complaints, close } = await visit(view, "/about");
    await paused(async () => {
      job = await handIn({ email: "visitor@example.org" });
      await page.goto(pageOf(job));
      await heading(page, "Your picture is on its way");
      assert.match(await place(page), /next|Pictures before yours/);
      assert.match(await page.locator("#mail").textContent(), /We'll e-mail you/);
      await inspect(page, `status-${name}`);
    });
    await heading(page, "Your picture is ready"); // without a reload
    assert.match(await page.title(), /ready/);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("every_end_and_every_wait_has_its_page_in_every_language", async () => {
  const tomorrow = new Date(Date.now() + 86400000).toISOString().slice(0, 19) + "Z";
  const late = await handIn({ run_at: tomorrow });
  const child = await handIn({ after: [{ job: late.id, token: late.tokens.view }] });
  const jobs = { later: late, after: child };
  const look = async (name, job, locale) => {
    const { page, complaints, close } = await visit({ ...phone, locale }, pageOf(job));
    let asked = 0;
    page.on("request", (request) => (asked += new URL(request.url()).pathname.startsWith("/j/")));
    await inspect(page, `status-${name}-${locale}`);
    assert.equal(asked, 0, "the page asks for itself again and again");
    assert.doesNotMatch(await page.locator("main").textContent(), /\{\{|undefined|null|\b(status|result|delete)\.[a-z_]+/);
    assert.deepEqual(complaints, []);
    await close();
  };
  const locales = ["en", "nl", "ru", "zh"];
  for (const [i, [name, job]] of Object.entries(jobs).entries()) await look(name, job, locales[i]);
  await api("POST", `/v1/jobs/${late.id}/cancel`, { token: late.tokens.manage });
  await look("cancelled", late, "nl");
  await look("failed", child, "ru");
  const other = await handIn({ run_at: tomorrow });
  await look("later", other, "zh");
});

test("cancel_is_one_press_for_who_handed_it_in", async () => {
  const { page, complaints, close } = await visit(phone, "/about");
  await paused(async () => {
    const job = await handIn();
    await page.goto(pageOf(job));
    assert.equal(await page.locator("#cancel").isVisible(), false); // of somebody else's browser
    await remember(page, job);
    await page.reload();
    await page.click("#cancel button");
    await heading(page, "Cancelled");
    await inspect(page, "status-cancelled");
    assert.equal((await ended(job)).state, "cancelled");
  });
  assert.deepEqual(complaints, []);
  await close();
});

test("a_cancel_in_one_tab_is_seen_in_the_other", async () => {
  const { context, page, close } = await visit(desk, "/about");
  await paused(async () => {
    const job = await handIn();
    await remember(page, job);
    const other = await context.newPage();
    await Promise.all([page.goto(pageOf(job)), other.goto(pageOf(job))]);
    await Promise.all([heading(page, "on its way"), heading(other, "on its way")]);
    await page.click("#cancel button");
    await Promise.all([heading(page, "Cancelled"), heading(other, "Cancelled")]);
  });
  await close();
});

test("place_moves_while_one_looks", async () => {
  const { page, close } = await visit(phone, "/about");
  await paused(async () => {
    const first = await handIn();
    const second = await handIn();
    await page.goto(pageOf(second));
    const before = await place(page);
    assert.match(before, /Pictures before yours: [1-9]/);
    await api("POST", `/v1/jobs/${first.id}/cancel`, { token: first.tokens.manage });
    await page.waitForFunction((text) => document.getElementById("place").textContent !== text, before);
  });
  await close();
});

test("a_line_that_drops_is_said_and_mended", async () => {
  const { context, page, close } = await visit(desk, "/about");
  await paused(async () => {
    const job = await handIn();
    await page.goto(pageOf(job));
    await heading(page, "on its way");
    await context.setOffline(true);
    await page.evaluate(() => dispatchEvent(new Event("online"))); // a line that only seems to be back
    await page.locator("#line").waitFor();
    await resume();
    await ended(job);
    await context.setOffline(false);
    await heading(page, "Your picture is ready");
  });
  await close();
});

test("the_back_button_finds_the_page_as_it_is_now", async () => {
  const { page, close } = await visit(phone, "/about");
  await paused(async () => {
    const job = await handIn();
    await page.goto(pageOf(job));
    await heading(page, "on its way");
    await page.goto("/about");
    await resume();
    await ended(job);
    await page.goBack();
    await heading(page, "Your picture is ready");
    await page.reload();
    await heading(page, "Your picture is ready");
  });
  await close();
});

test("without_scripts_a_reload_tells_the_same", async () => {
  const { context, page, close } = await visit({ ...phone, javaScriptEnabled: false }, "/about");
  await paused(async () => {
    const job = await handIn();
    const cookie = { domain: new URL(server).hostname, path: `/j/${job.id}`, httpOnly: true, sameSite: "Strict" };
    await context.addCookies([{ ...cookie, name: "manage", value: job.tokens.manage }]);
    await page.goto(pageOf(job));
    assert.match(await place(page), /next|Pictures before yours/);
    const other = await handIn();
    await page.click("#cancel button");
    await heading(page, "Cancelled");
    assert.equal((await ended(job)).state, "cancelled");
    await page.goto(pageOf(other));
    assert.equal(await page.locator("#cancel").isVisible(), false);
    await page.goto(pageOf(other));
    await resume();
    await ended(other);
    await page.reload(); // which a <noscript> does by itself where scripts are really off: test_job_pages.py
    await heading(page, "Your picture is ready");
  });
  await close();
});

test("a_job_that_is_gone_is_a_kind_page", async () => {
  const job = await finished();
  const { page, close } = await visit(phone, pageOf(job));
  await heading(page, "Your picture is ready");
  await api("DELETE", `/v1/jobs/${job.id}`, { token: job.tokens.delete });
  await page.reload();
  await heading(page, "There is nothing here");
  await inspect(page, "status-gone");
  await page.goto(pageOf(job, "nonsense"));
  await page.getByRole("heading", { level: 1 }).waitFor();
  assert.doesNotMatch(await page.locator("body").textContent(), /problems\//);
  await close();
});

test("the_counter_counts_while_one_looks", async () => {
  const { page, close } = await visit(phone, "/about");
  await paused(async () => {
    const job = await handIn();
    await page.goto(pageOf(job));
    await page.locator("[data-counter]").waitFor();
    const total = () => page.locator("[data-total]").textContent();
    const before = Number((await total()).replace(/\D/g, ""));
    await resume();
    await ended(job);
    await page.waitForFunction(
      (n) => Number(document.querySelector("[data-total]")?.textContent.replace(/\D/g, "")) > n, before);
  });
  await close();
  assert.ok(browser.isConnected());
});
