// SPDX-License-Identifier: MIT
// The history page: this browser's pictures, and an account's with a key.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { csvCell, exportRow, toCsv } from "../../dispatcher/web/assets/export.js";
import { jobIs, makeKey, request, revokeKey, until, viewOf } from "./api.mjs";
import { desk, inspect, operatorKey, phone, server, views, visit } from "./browser.mjs";
import { handIn } from "./jobs.mjs";

const later = () => new Date(Date.now() + 86400000).toISOString();
const waiting = (token) => handIn({ run_at: later() }, token); // costs no worker anything

/** As the submit page does it. */
const remember = (page, jobs) => page.evaluate(async (list) => {
  for (const { id, tokens, model, at } of list) localStorage.setItem(`darkroom.job.${id}`, JSON.stringify({ tokens, model, at }));
}, jobs.map((job, i) => ({ ...job, at: Date.now() - i * 1000 })));

async function listed(page) {
  await page.locator("#count:not(:empty)").waitFor();
  await page.waitForFunction(() => !/moment/.test(document.getElementById("count").textContent));
}

/** The page, which was empty, with these jobs in its storage: not yet read. */
async function visitWith(jobs, options = desk, path = "/history") {
  const visited = await visit(options, path);
  await listed(visited.page); // else it may ask for, and drop, what the next page is to see
  await remember(visited.page, jobs);
  return visited;
}

async function openWith(jobs, options, path) {
  const visited = await visitWith(jobs, options, path);
  await visited.page.reload();
  await listed(visited.page);
  return visited;
}

const shownIds = (page) => page.locator("#jobs > li").evaluateAll((items) => items.map((item) => item.dataset.id));

const showsIds = (page, ids) => page.waitForFunction((wanted) =>
  JSON.stringify([...document.querySelectorAll("#jobs > li")].map((item) => item.dataset.id)) === wanted, JSON.stringify(ids));

const answer = (page, value) => page.locator(`dialog button[value=${value}]`).click();

const drawn = await handIn();
const cancelled = await waiting();
await request("POST", `/v1/jobs/${cancelled.id}/cancel`, { token: cancelled.tokens.manage });
await jobIs(drawn, "succeeded");
const delayed = await waiting();
const three = [drawn, cancelled, delayed];

for (const [name, view] of Object.entries(views)) {
  test(`pictures_of_this_browser_are_listed_with_their_states_on_${name}`, async () => {
    const { page, complaints, close } = await openWith(three, view);
    assert.deepEqual(await shownIds(page), three.map(({ id }) => id));
    assert.deepEqual(await page.locator("#jobs .badge").allTextContents(), ["Ready", "Cancelled", "Delayed"]);
    await page.waitForFunction(() => document.querySelector("img.thumb")?.naturalWidth === 160);
    await inspect(page, `history-${name}`);
    assert.deepEqual(complaints, []);
    await close();
  });
}

for (const lang of ["nl", "ru", "zh"]) {
  test(`the_list_speaks_${lang}`, async () => {
    const { page, complaints, close } = await visitWith(three, phone);
    await page.goto(new URL(`/history?lang=${lang}`, page.url()).href);
    await showsIds(page, three.map(({ id }) => id));
    assert.equal(await page.locator("html").getAttribute("lang"), lang);
    assert.doesNotMatch(await page.textContent("main"), /history\.|common\.|\{\{/);
    await inspect(page, `history-${lang}`);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("the_list_costs_one_call_and_follows_what_changes", async () => {
  const job = await waiting();
  const { page, close } = await visitWith([drawn, job]);
  const calls = [];
  page.on("request", (r) => r.url().includes("/v1/") && !r.url().includes("/result") && calls.push(r.method() + new URL(r.url()).pathname));
  await page.reload();
  await showsIds(page, [drawn.id, job.id]);
  assert.deepEqual(calls, ["POST/v1/jobs/states"]);
  await request("POST", `/v1/jobs/${job.id}/cancel`, { token: job.tokens.manage });
  await page.locator(`[data-id="${job.id}"][data-state=cancelled]`).waitFor();
  await close();
});

test("a_long_list_is_asked_for_a_hundred_at_a_time", async () => {
  const jobs = Array.from({ length: 250 }, (_, i) => ({ id: `00${(i + 1).toString(16).padStart(32, "0")}`, tokens: { view: "A".repeat(22) } }));
  const { page, close } = await visitWith(jobs);
  let calls = 0;
  page.on("request", (r) => { calls += r.url().endsWith("/v1/jobs/states"); });
  await page.reload();
  await page.waitForFunction(() => /24 of 250/.test(document.getElementById("count").textContent));
  assert.equal(calls, 3);
  await page.click("#more");
  await page.waitForFunction(() => document.querySelectorAll("#jobs > li").length === 48);
  assert.equal(calls, 3, "more of them costs no call");
  await close();
});

test("states_models_days_and_words_narrow_the_list", async () => {
  const { page, close } = await openWith(three);
  await page.selectOption("#state", "cancelled");
  await showsIds(page, [cancelled.id]);
  await page.selectOption("#state", "queued,running,delayed");
  await showsIds(page, [delayed.id]);
  await page.click("#filter button[type=reset]");
  await showsIds(page, three.map(({ id }) => id));
  await page.fill("#q", drawn.id.slice(0, 10).toUpperCase());
  await page.press("#q", "Enter");
  await showsIds(page, [drawn.id]);
  await page.fill("#q", "PORTRAIT TO");
  await page.press("#q", "Enter");
  await showsIds(page, three.map(({ id }) => id));
  await page.fill("#q", "no such thing");
  await page.press("#q", "Enter");
  await showsIds(page, []);
  assert.match(await page.textContent("#count"), /Nothing fits/);
  await page.click("#filter button[type=reset]");
  await page.selectOption("#model", "portrait-drawing");
  await page.fill("#to", "2020-01-01");
  await showsIds(page, []);
  await page.fill("#to", "");
  await page.fill("#from", new Date().toISOString().slice(0, 10));
  await until(async () => (await shownIds(page)).length > 0 || new Date().getHours() < 1, "today's pictures");
  await close();
});

test("one_is_deleted_after_a_question_that_can_be_answered_no", async () => {
  const doomed = await waiting();
  const { page, complaints, close } = await openWith([doomed, drawn], phone);
  const button = page.locator(`[data-id="${doomed.id}"] button`);
  await button.click();
  await inspect(page, "history-question");
  assert.equal(await page.evaluate(() => document.activeElement.value), "no", "the harmless answer has the focus");
  await answer(page, "no");
  assert.equal((await viewOf(doomed)).status, 200);
  await button.focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  assert.equal((await viewOf(doomed)).status, 200);
  await button.click();
  await answer(page, "yes");
  await showsIds(page, [drawn.id]);
  assert.equal((await viewOf(doomed)).status, 404);
  assert.equal(await page.evaluate((id) => localStorage.getItem(`darkroom.job.${id}`), doomed.id), null);
  assert.deepEqual(complaints, []);
  await close();
});

test("all_that_a_search_found_are_deleted_and_the_others_stay", async () => {
  const doomed = [await waiting(), await waiting(), await waiting()];
  const { page, close } = await openWith([...doomed, drawn]);
  await page.selectOption("#state", "queued,running,delayed");
  await showsIds(page, doomed.map(({ id }) => id));
  await page.click("#delete-all");
  assert.match(await page.textContent("dialog"), /3/);
  await answer(page, "yes");
  await showsIds(page, []);
  for (const job of doomed) assert.equal((await viewOf(job)).status, 404);
  await page.click("#filter button[type=reset]");
  await showsIds(page, [drawn.id]);
  await close();
});

test("forgetting_the_list_deletes_no_picture", async () => {
  const { page, close } = await openWith(three);
  await page.click("#forget");
  await answer(page, "yes");
  await page.waitForFunction(() => /Nothing was handed in/.test(document.getElementById("count").textContent));
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.equal((await viewOf(drawn)).json.state, "succeeded");
  await close();
});

test("what_expired_leaves_the_list_and_a_wrong_token_can_be_taken_off_it", async () => {
  const gone = await waiting();
  await request("DELETE", `/v1/jobs/${gone.id}`, { token: gone.tokens.delete });
  const foreign = { ...delayed, tokens: { view: "A".repeat(22), manage: "", delete: "" } };
  const { page, close } = await openWith([gone, drawn, foreign], phone);
  await showsIds(page, [drawn.id, foreign.id]);
  assert.match(await page.textContent("#count"), /taken off this list: 1/);
  await page.locator(`[data-id="${foreign.id}"] button`).click();
  await answer(page, "yes");
  await showsIds(page, [drawn.id]);
  assert.equal((await viewOf(delayed)).status, 200);
  await close();
});

test("a_storage_full_of_rubbish_or_forbidden_breaks_nothing", async () => {
  const visited = await visit(desk, "/history");
  await visited.page.evaluate((id) => {
    for (const text of ["", "null", "[]", "7", "{", '{"tokens":7}', '{"tokens":{"view":[]}}', '{"view":"<img src=x onerror=alert(1)>"}'])
      localStorage.setItem(`darkroom.job.00${(localStorage.length + 1).toString().padStart(32, "0")}`, text);
    localStorage.setItem("darkroom.job.<script>", "{}");
    localStorage.setItem("somebody.else", "stays");
    localStorage.setItem(`darkroom.job.${id}`, JSON.stringify({ tokens: { view: "A".repeat(22) }, model: "<b>x</b>", at: Date.now() }));
    localStorage.setItem("darkroom.job.000000000000000000000000000000ffff",
      JSON.stringify({ tokens: { view: "A".repeat(22) }, at: Date.now() - 61 * 86400000 }));
  }, drawn.id);
  await visited.page.reload();
  await visited.page.locator(`[data-id="${drawn.id}"]`).waitFor();
  assert.equal(await visited.page.locator("#jobs b").count(), 0);
  assert.equal(await visited.page.evaluate(() => localStorage.getItem("somebody.else")), "stays");
  assert.ok(await visited.page.evaluate(() => localStorage.length) <= 3);
  assert.deepEqual(visited.complaints, []);
  await visited.close();

  const { context, page, complaints, close } = await visit(desk, "/about");
  await context.addInitScript(() => {
    for (const name of ["localStorage", "sessionStorage"])
      Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
  });
  await page.goto("/history");
  await page.waitForFunction(() => /Nothing was handed in/.test(document.getElementById("count").textContent));
  assert.deepEqual(complaints, []);
  await close();
});

async function useKey(page, text) {
  await page.evaluate(() => { document.getElementById("account").open = true; });
  await page.fill("#key", text);
  await page.click("#key-form button");
}

const keyProblem = async (page) => {
  await page.locator("#key-problem:not([hidden])").waitFor();
  return page.textContent("#key-problem");
};

test("a_key_that_is_none_unknown_revoked_or_without_the_scope_is_refused_in_words", async () => {
  const { page, close } = await visit(phone, "/history");
  await page.locator("#app:not([hidden])").waitFor();
  await useKey(page, "password");
  assert.match(await keyProblem(page), /not an API key/);
  await useKey(page, `dk_${"A".repeat(43)}`);
  assert.match(await keyProblem(page), /not valid/);
  await inspect(page, "history-key-unknown");
  await useKey(page, operatorKey);
  await page.waitForFunction(() => /scope “read”/.test(document.getElementById("key-problem").textContent));
  const doomed = makeKey("read");
  await useKey(page, doomed.key);
  await page.locator("#key-used:not([hidden])").waitFor();
  revokeKey(doomed);
  await until(async () => (await request("GET", "/v1/jobs", { token: doomed.key })).status === 401, "the revocation");
  await page.selectOption("#state", "failed");
  assert.match(await keyProblem(page), /not valid/);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await close();
});

const account = makeKey("submit,read");
const many = [];
for (let i = 0; i < 30; i++) many.unshift(await waiting(account.key));
await request("POST", `/v1/jobs/${many[3].id}/cancel`, { token: account.key });

for (const name of ["phone-light", "desk-dark"]) {
  const view = views[name];
  test(`an_account_is_listed_page_by_page_on_${name}`, async () => {
    const { context, page, complaints, close } = await visit(view, "/history");
    await useKey(page, account.key);
    await showsIds(page, many.slice(0, 24).map(({ id }) => id));
    await page.click("#more");
    await showsIds(page, many.map(({ id }) => id));
    assert.equal(await page.isHidden("#more"), true);
    // The key is in this tab and nowhere else.
    assert.doesNotMatch(page.url(), /dk_/);
    assert.deepEqual((await context.cookies()).filter(({ value }) => value.includes("dk_")), []);
    assert.doesNotMatch(await page.evaluate(() => JSON.stringify(localStorage)), /dk_/);
    assert.doesNotMatch(await page.content(), new RegExp(account.key));
    await page.selectOption("#state", "cancelled");
    await showsIds(page, [many[3].id]);
    await inspect(page, `history-account-${name}`);
    await page.reload(); // the tab remembers
    await page.locator("#key-used:not([hidden])").waitFor();
    await page.click("#key-forget");
    await page.waitForFunction(() => /Nothing was handed in/.test(document.getElementById("count").textContent));
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual(complaints, []);
    await close();
  });
}

async function exported(page, button) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return { name: file.suggestedFilename(), text: readFileSync(await file.path(), "utf8") };
}

test("an_export_has_every_link_and_no_right_to_change_anything", async () => {
  const { page, close } = await visit(desk, "/history");
  await useKey(page, account.key);
  await showsIds(page, many.slice(0, 24).map(({ id }) => id));
  const json = await exported(page, "#export-json");
  assert.match(json.name, /^darkroom-\d{4}-\d\d-\d\d\.json$/);
  const rows = JSON.parse(json.text).jobs;
  assert.deepEqual(rows.map(({ id }) => id), many.map(({ id }) => id));
  assert.equal((await fetch(rows[0].page)).status, 200);
  assert.equal(new URL(rows[0].page).origin, server);
  const csv = await exported(page, "#export-csv");
  assert.equal(csv.text.split("\r\n").length, many.length + 2);
  for (const { text } of [json, csv])
    for (const secret of [many[0].tokens.manage, many[0].tokens.delete, account.key]) assert.ok(!text.includes(secret));
  await close();
});

test("an_account_searches_its_parameters_ids_and_days_and_deletes", async () => {
  const reader = makeKey("submit,read");
  const jobs = [await waiting(reader.key), await waiting(reader.key)].reverse();
  const { page, close } = await visit(phone, "/history");
  await useKey(page, reader.key);
  await showsIds(page, jobs.map(({ id }) => id));
  await page.fill("#q", jobs[1].id.slice(0, 12));
  await page.press("#q", "Enter");
  await showsIds(page, [jobs[1].id]);
  await page.fill("#q", "");
  await page.fill("#from", "2099-01-01");
  await showsIds(page, []);
  await page.fill("#from", "2020-01-01");
  await showsIds(page, jobs.map(({ id }) => id));
  await page.locator(`[data-id="${jobs[0].id}"] button`).click();
  await answer(page, "yes");
  await showsIds(page, [jobs[1].id]);
  assert.equal((await viewOf(jobs[0])).status, 404);
  await close();
});

test("a_key_that_may_only_look_is_told_so_when_it_deletes", async () => {
  const { page, close } = await visit(desk, "/history");
  await page.route("**/v1/jobs/*", (route) => (route.request().method() === "DELETE"
    ? route.fulfill({ status: 403, contentType: "application/problem+json", body: '{"title":"Forbidden","status":403}' }) : route.continue()));
  await useKey(page, account.key);
  await page.locator("#jobs > li button").first().click();
  await answer(page, "yes");
  await page.locator("#problem:not([hidden])").waitFor();
  assert.match(await page.textContent("#problem"), /scope “submit”/);
  assert.equal((await shownIds(page)).length, 24);
  await close();
});

const markup = ['<img src=x onerror="window.hit=1">', "\"><script>window.hit=1</script>", "javascript:window.hit=1", "{{t.history.title}}"];

test("nothing_that_a_job_says_becomes_markup", async () => {
  const { page, complaints, close } = await visit(desk, "/history");
  await page.route("**/v1/jobs?*", (route) => route.fulfill({ json: { next: null, jobs: markup.map((text, i) => ({
    id: `00${i.toString().padStart(32, "0")}`, model: text, state: i ? text : "failed", created_at: text, updated_at: text,
    error: { code: text, detail: text }, result: null, links: { page: `${server}/j/x?token=${encodeURIComponent(text)}` } })) } }));
  await useKey(page, account.key);
  await page.locator("#jobs > li").nth(3).waitFor();
  assert.match(await page.textContent("#jobs"), /<img src=x/);
  assert.equal(await page.locator("main img, main script").count(), 0);
  assert.equal(await page.locator("#jobs a:not([href^='/j/00'])").count(), 0);
  const csv = await exported(page, "#export-csv");
  assert.match(csv.text, /onerror/);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.deepEqual(complaints, []);
  await close();
});

test("without_javascript_the_page_says_what_it_needs_it_for", async () => {
  const { page, close } = await visit({ ...phone, javaScriptEnabled: false }, "/history");
  assert.match(await page.textContent("noscript"), /only JavaScript can read it/);
  assert.equal(await page.isHidden("#app"), true);
  await close();
});

test("a_cell_that_a_spreadsheet_would_run_is_made_a_text", () => {
  for (const text of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\uFEFF=1", "=cmd|'/c calc'!A1"])
    assert.match(csvCell(text), /^"'/, JSON.stringify(text));
  assert.equal(csvCell('a"b,c'), '"a""b,c"');
  assert.equal(csvCell("a\nb"), '"a\nb"');
  assert.equal(csvCell("0082ab"), "0082ab");
  assert.equal(csvCell(undefined), "");
  const row = exportRow({ id: "0", model: "=HYPERLINK(1)", state: "failed", error: { code: "x;y" } }, "https://h", "t&k");
  assert.equal(toCsv([row]).split("\r\n")[1], `0,"'=HYPERLINK(1)",failed,,,"x;y",https://h/j/0?token=t%26k,`);
});
