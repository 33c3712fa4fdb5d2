// SPDX-License-Identifier: MIT
// The fleet page: what every queue and every worker does right now, the last quarter of an hour, the dead letter and
// what could not be delivered. One call of /v1/fleet every few seconds, while somebody looks; the two lists when their
// totals change.
import { call } from "./api.js";
import { $, confirmed, duration, el, number, say, time } from "./dom.js";
import { Series } from "./fleet-series.js";
import { looksLikeKey, sessionKey } from "./session-key.js";
import { t } from "./texts.js";

const POLL_MS = 3000;
const DEAD_PAGE = 50;
const DEAD_MAX = 200; // what one page and one replay may have

const key = sessionKey("operate");
const titles = Object.fromEntries([...$("plot-model").options].slice(1).map((option) => [option.value, option.text]));
const titleOf = (model) => titles[model] || model;
let series = new Series();
let drawn = null; // the curves, once uPlot is there
let timer = 0;

const ask = (path, options = {}) =>
  call(path, { ...options, headers: { Authorization: `Bearer ${key.get()}`, ...options.headers } });

const post = (path, body) =>
  ask(path, body ? { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } } : { method: "POST" });

const refusal = (problem) => ({ 401: t("common.key_unknown"), 403: t("fleet.key_scope") })[problem.status];

/* ---- lists that keep their elements, so that focus and open details outlive an update ---- */

/** Makes host's children those of `items`: made once by make(item), brought up to date by fill(element, item). */
function sync(host, items, idOf, make, fill) {
  const old = new Map([...host.children].map((child) => [child.dataset.id, child]));
  let before = host.firstElementChild;
  for (const item of items) {
    const id = idOf(item);
    let element = old.get(id);
    if (!element) {
      element = make(item);
      element.dataset.id = id;
    }
    old.delete(id);
    fill(element, item);
    if (element === before) before = before.nextElementSibling;
    else host.insertBefore(element, before);
  }
  for (const gone of old.values()) gone.remove();
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/* ---- queues ---- */

const COLUMNS = [
  ["queued", (q) => number(q.queued)], ["running", (q) => number(q.running)], ["delayed", (q) => number(q.delayed)],
  ["dead", (q) => number(q.dead)], ["oldest", (q) => duration(q.oldest_seconds ?? NaN)],
  ["rate_in", (q) => number(q.submitted_per_minute, 1)], ["rate_out", (q) => number(q.finished_per_minute, 1)],
  ["service", (q) => duration(q.service_seconds ?? NaN)],
  ["slots", (q) => t("fleet.slots_of", { slots: number(q.slots), workers: number(q.workers) })],
];

async function togglePause(event) {
  const { model, paused } = event.currentTarget.dataset;
  const verb = paused === "true" ? "resume" : "pause";
  if (!(await confirmed(t(`fleet.${verb}_question`, { model: titleOf(model) }), t(`fleet.${verb}`)))) return;
  try {
    await post(`/v1/queues/${encodeURIComponent(model)}/${verb}`);
    say($("problem"));
  } catch (problem) {
    say($("problem"), refusal(problem) || problem.message);
  }
  update();
}

function makeQueue() {
  const row = el("tr", {}, el("th", { scope: "row" }),
    ...COLUMNS.map(([name]) => el("td", { class: "n", "data-name": t(`fleet.${name}`) })),
    el("td", { class: "act" }, el("span", { class: "badge" }), " ", el("button", { type: "button", class: "quiet", onclick: togglePause })));
  return row;
}

function fillQueue(row, queue) {
  setText(row.cells[0], titleOf(queue.model));
  COLUMNS.forEach(([, value], i) => setText(row.cells[i + 1], value(queue)));
  row.cells[4].classList.toggle("bad", queue.dead > 0);
  row.classList.toggle("paused", queue.paused);
  const [state, button] = row.cells[row.cells.length - 1].querySelectorAll("span, button");
  const without = !queue.paused && queue.queued > 0 && queue.workers === 0;
  setText(state, t(queue.paused ? "fleet.paused" : without ? "fleet.unserved" : "fleet.served"));
  state.className = `badge ${queue.paused ? "warn" : without ? "bad" : "good"}`;
  setText(button, t(queue.paused ? "fleet.resume" : "fleet.pause"));
  button.setAttribute("aria-label", `${button.textContent}: ${titleOf(queue.model)}`);
  Object.assign(button.dataset, { model: queue.model, paused: queue.paused });
}

/* ---- workers ---- */

const makeWorker = () => el("li", { class: "worker card" },
  el("h3", {}, el("span", { class: "device" }), " ", el("span", { class: "badge" })), el("p", { class: "hint id" }),
  el("p", { class: "line" }), el("p", { class: "models hint" }), el("ul", { class: "doing" }));

function fillWorker(item, worker) {
  const [device, state] = item.querySelectorAll("h3 span");
  const running = worker.running ?? worker.jobs.length;
  setText(device, worker.device);
  setText(state, t(worker.draining ? "fleet.draining" : running ? "fleet.busy" : "fleet.idle"));
  state.className = `badge ${worker.draining ? "warn" : running ? "good" : ""}`;
  setText(item.querySelector(".id"), worker.id);
  setText(item.querySelector(".line"), [
    t("fleet.in_hand", { n: worker.running === null ? "–" : number(worker.running), slots: number(worker.slots) }),
    t("fleet.heard", { ago: duration(worker.heard_seconds_ago) }),
  ].join(" · "));
  const away = worker.models.filter((name) => !worker.loaded.includes(name));
  setText(item.querySelector(".models"), [
    worker.loaded.length && t("fleet.resident", { models: worker.loaded.map(titleOf).join(", ") }),
    away.length && t("fleet.on_demand", { models: away.map(titleOf).join(", ") }),
  ].filter(Boolean).join(" · "));
  sync(item.querySelector(".doing"), worker.jobs, (job) => job.id,
    (job) => el("li", {}, el("span"), el("progress", { max: 1, "aria-label": t("fleet.progress", { id: job.id.slice(0, 8) }) })), (line, job) => {
      const [words, bar] = line.children;
      setText(words, t("fleet.doing", {
        model: titleOf(job.model), id: job.id.slice(0, 8), since: duration((Date.now() - new Date(job.since)) / 1000),
      }));
      bar.value = job.progress;
    });
}

/* ---- the dead letter ---- */

let dead = { seen: -1, total: 0, shown: DEAD_PAGE };

function makeLetter(letter, kind) {
  const box = el("input", { type: "checkbox", "aria-label": t("fleet.choose", { id: letter.id.slice(0, 8) }), onchange: () => updateChoice(kind) });
  return el("li", { class: "letter" }, box);
}

function chosen(kind) {
  return [...$(kind).querySelectorAll("input:checked")].map((box) => box.closest("li").dataset);
}

function updateChoice(kind) {
  const boxes = [...$(kind).querySelectorAll("input")];
  const count = boxes.filter((box) => box.checked).length;
  $(`${kind}-replay`).disabled = count === 0;
  $(`${kind}-all`).checked = count > 0 && count === boxes.length;
  $(`${kind}-all`).indeterminate = count > 0 && count < boxes.length;
}

function fillDead(item, letter) {
  if (item.childElementCount > 1) return; // a dead letter does not change
  const attempts = letter.history.map((attempt) =>
    el("li", {}, time(attempt.at), " ", el("span", { class: "what" }, t("fleet.epoch", { n: attempt.epoch }), ": ", attempt.what)));
  item.append(el("details", {},
    el("summary", {}, el("b", {}, letter.error.code), ` · ${titleOf(letter.model)} · `, time(letter.died_at)),
    el("p", {}, letter.error.detail),
    el("p", { class: "hint" }, t("fleet.letter_counts", { attempts: letter.attempts, losses: letter.losses, crashes: letter.crashes })),
    attempts.length ? el("ol", { class: "attempts" }, ...attempts) : null,
    el("p", { class: "hint id" }, letter.id),
    el("p", { class: "actions" }, el("button", { type: "button", onclick: () => replay([letter.id]) }, t("fleet.replay")))));
}

async function loadDead() {
  const page = await ask(`/v1/dead?limit=${Math.min(dead.shown, DEAD_MAX)}`);
  dead.total = page.total;
  setText($("dead-total"), number(page.total));
  $("dead-actions").hidden = page.dead.length === 0;
  $("dead-more").hidden = page.dead.length >= Math.min(page.total, DEAD_MAX);
  sync($("dead"), page.dead, (letter) => letter.id, (letter) => makeLetter(letter, "dead"), fillDead);
  updateChoice("dead");
  return page;
}

async function replay(ids) {
  try {
    const answer = await post("/v1/dead/replay", { ids });
    $("dead-note").textContent = t(answer.skipped.length ? "fleet.replayed_some" : "fleet.replayed",
      { n: answer.replayed, skipped: answer.skipped.length });
    await loadDead();
  } catch (problem) {
    say($("problem"), refusal(problem) || problem.message);
  }
  update();
}

async function replayChosen() {
  const ids = chosen("dead").map(({ id }) => id);
  if (await confirmed(t("fleet.replay_question", { n: ids.length }), t("fleet.replay"))) replay(ids);
}

/** All there are, a page at a time; ends when a page brings nothing forward. */
async function replayAll() {
  if (!(await confirmed(t("fleet.replay_question", { n: number(dead.total) }), t("fleet.replay")))) return;
  let done = 0;
  try {
    for (;;) {
      const page = await ask(`/v1/dead?limit=${DEAD_MAX}`);
      const answer = page.dead.length ? await post("/v1/dead/replay", { ids: page.dead.map(({ id }) => id) }) : { replayed: 0 };
      done += answer.replayed;
      $("dead-note").textContent = t("fleet.replayed", { n: number(done) });
      if (!answer.replayed) break;
    }
    await loadDead();
  } catch (problem) {
    say($("problem"), refusal(problem) || problem.message);
  }
  update();
}

/* ---- what could not be delivered ---- */

let unsentSeen = -1;

function fillUnsent(item, row) {
  item.dataset.job = row.job;
  item.dataset.kind = row.kind;
  if (item.childElementCount > 1) return;
  item.append(el("details", {},
    el("summary", {}, el("b", {}, t(row.kind === "mail" ? "fleet.mail" : "fleet.webhook")), ` · ${row.reason} · `, time(row.given_up_at)),
    el("p", { class: "hint" }, t("fleet.unsent_counts", { attempts: row.attempts, state: t(`history.state_${row.state}`) })),
    el("p", { class: "hint id" }, row.job),
    el("p", { class: "actions" }, el("button", { type: "button", onclick: () => resend([item.dataset]) }, t("fleet.resend")))));
}

async function loadUnsent() {
  const page = await ask("/v1/notifications");
  setText($("unsent-total"), number(page.total));
  $("unsent-actions").hidden = page.unsent.length === 0;
  sync($("unsent"), page.unsent, (row) => row.id, (row) => makeLetter(row, "unsent"), fillUnsent);
  updateChoice("unsent");
}

/** One call for each kind: mail and webhooks of a job are given up apart from each other. */
async function resend(rows) {
  let notifications = 0;
  try {
    for (const kind of ["mail", "webhook"]) {
      const ids = [...new Set(rows.filter((row) => row.kind === kind).map((row) => row.job))];
      if (ids.length) notifications += (await post("/v1/notifications/replay", { ids, kind, state: "unsent" })).notifications;
    }
    $("unsent-note").textContent = t("fleet.resent", { n: notifications });
    await loadUnsent();
  } catch (problem) {
    say($("problem"), refusal(problem) || problem.message);
  }
  update();
}

async function resendChosen() {
  const rows = chosen("unsent");
  if (await confirmed(t("fleet.resend_question", { n: rows.length }), t("fleet.resend"))) resend(rows);
}

function showMails(mail) {
  const moment = (iso) => time(iso)?.textContent || "–";
  const counts = Object.fromEntries(Object.entries(mail.counts).map(([name, count]) => [name, number(count)]));
  setText($("mails"), t("fleet.mails", counts));
  say($("mail-held"), mail.held_until ? t("fleet.mail_held", { time: moment(mail.held_until) }) : "");
  const failure = mail.last_failure;
  say($("mail-failure"), failure ? t("fleet.mail_failure", { time: moment(failure.at), reason: failure.reason }) : "");
}

/* ---- all together ---- */

const plotModel = () => $("plot-model").value;

function show(fleet) {
  sync($("queues").tBodies[0], fleet.queues, (queue) => queue.model, makeQueue, fillQueue);
  sync($("workers"), fleet.workers, (worker) => worker.id, makeWorker, fillWorker);
  $("no-workers").hidden = fleet.workers.length > 0;
  const clock = new Date(fleet.at).toLocaleTimeString(document.documentElement.lang);
  $("updated").textContent = t("fleet.updated", { time: clock });
  showMails(fleet.mail);
  series.add(fleet.samples);
  if (series.last) drawn?.show(series.of(plotModel()));
}

let busy = false;

/** Asks now, and again in a while. The totals say whether the two lists are to be read again. */
async function update() {
  clearTimeout(timer);
  if (busy || !key.get()) return;
  busy = true;
  try {
    const fleet = await ask(series.last ? `/v1/fleet?since=${series.last}` : "/v1/fleet");
    show(fleet);
    if (fleet.dead !== dead.seen) await loadDead();
    if (fleet.unsent !== unsentSeen) await loadUnsent();
    [dead.seen, unsentSeen] = [fleet.dead, fleet.unsent];
    if ($("app").classList.contains("stale")) say($("problem"));
    $("app").classList.remove("stale");
  } catch (problem) {
    if (refusal(problem)) leave(refusal(problem));
    else {
      $("app").classList.add("stale");
      say($("problem"), problem.message);
    }
  }
  busy = false;
  if (key.get() && !document.hidden) timer = setTimeout(update, POLL_MS);
}

async function draw() {
  try {
    const { plots } = await import("./fleet-plots.js");
    drawn = plots($("plots"));
  } catch {
    say($("plots-problem"), t("fleet.no_plots"));
  }
  if (drawn && series.last) drawn.show(series.of(plotModel()));
}

async function enter() {
  $("enter").hidden = true;
  $("app").hidden = false;
  if (!drawn) await draw();
  await update();
}

/** Away with the key and everything that it showed. */
function leave(reason = "") {
  clearTimeout(timer);
  key.clear();
  series = new Series();
  dead = { seen: -1, total: 0, shown: DEAD_PAGE };
  unsentSeen = -1;
  for (const id of ["workers", "dead", "unsent"]) $(id).replaceChildren();
  $("queues").tBodies[0].replaceChildren();
  $("app").hidden = true;
  $("enter").hidden = false;
  say($("key-problem"), reason);
  $("key").focus();
}

$("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("key").value.trim();
  if (!looksLikeKey(text)) {
    say($("key-problem"), t("common.key_malformed"));
    $("key").focus();
    return;
  }
  say($("key-problem"));
  key.set(text);
  try {
    show(await ask("/v1/fleet"));
  } catch (problem) {
    leave(refusal(problem) || problem.message);
    return;
  }
  $("key").value = "";
  await enter();
});
$("key-forget").addEventListener("click", () => leave());
$("plot-model").addEventListener("change", () => series.last && drawn?.show(series.of(plotModel())));
$("dead-replay").addEventListener("click", replayChosen);
$("dead-replay-all").addEventListener("click", replayAll);
$("dead-more").addEventListener("click", () => {
  dead.shown = Math.min(dead.shown + DEAD_PAGE, DEAD_MAX);
  loadDead().catch((problem) => say($("problem"), problem.message));
});
$("unsent-replay").addEventListener("click", resendChosen);
for (const kind of ["dead", "unsent"]) {
  $(`${kind}-all`).addEventListener("change", (event) => {
    for (const box of $(kind).querySelectorAll("input")) box.checked = event.target.checked;
    updateChoice(kind);
  });
}
document.addEventListener("visibilitychange", () => !document.hidden && update());

if (key.get()) await enter();
else $("enter").hidden = false;
