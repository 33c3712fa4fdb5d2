// SPDX-License-Identifier: MIT
// The history page: this browser's pictures, or with an API key those of its account. Both are a source with the
// same functions (history-local.js, history-account.js); this is what a person sees of one.
import { $, confirmed, download, el, say, time } from "./dom.js";
import { exportRow, toCsv, toJson } from "./export.js";
import { accountSource } from "./history-account.js";
import { localSource } from "./history-local.js";
import { forgetAll } from "./kept.js";
import { looksLikeKey, sessionKey } from "./session-key.js";
import { t } from "./texts.js";

const PAGE = 24;
const EXPORT_MAX = 10000;
const DELETES_AT_ONCE = 4;
const POLL_MS = 5000;

const key = sessionKey("account");
const titles = Object.fromEntries([...$("model").options].slice(1).map((option) => [option.value, option.text]));
let source = localSource();
let filter = { titles };
let next = null;
const shown = new Map(); // id → {job, item}

const TONES = { succeeded: "good", failed: "bad", unknown: "bad", running: "warn" };

const unfinished = (job) => ["queued", "running", "delayed"].includes(job.state);
const titleOf = (job) => titles[job.model] || job.model || t("history.untitled");

/* ---- what is asked for ---- */

const startOf = (day) => new Date(`${day}T00:00:00`);

/** The form as the API wants it; days are the visitor's own. */
function readFilter() {
  const end = $("to").value ? startOf($("to").value) : null;
  end?.setDate(end.getDate() + 1);
  return {
    titles,
    q: $("q").value.trim(),
    state: $("state").value,
    model: $("model").value,
    from: $("from").value ? startOf($("from").value).toISOString() : "",
    to: end ? new Date(end.getTime() - 1).toISOString() : "",
  };
}

const isFiltered = () => ["q", "state", "model", "from", "to"].some((name) => filter[name]);

/* ---- one picture ---- */

const pageOf = (job) => `/j/${job.id}${job.view ? `?token=${encodeURIComponent(job.view)}` : ""}`;

function thumbnail(job) {
  if (job.state !== "succeeded" || !job.view) return el("span", { class: "thumb", "data-state": job.state });
  const src = `/v1/jobs/${job.id}/result?format=webp&side=160&token=${encodeURIComponent(job.view)}`;
  const image = el("img", { class: "thumb", src, alt: "", loading: "lazy", decoding: "async", width: 96, height: 96 });
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "thumb", "data-state": "gone" })));
  return image;
}

function stateText(job) {
  if (job.state === "running" && job.progress > 0) {
    return t("history.state_running_part", { percent: Math.round(job.progress * 100) });
  }
  return t(`history.state_${job.state}`);
}

function fill(item, job) {
  const headline = `headline-${job.id}`;
  const remove = job.mayDelete
    ? el("button", { type: "button", class: "quiet", "aria-describedby": headline, onclick: () => removeOne(job) }, t("history.delete"))
    : el("button", { type: "button", class: "quiet", "aria-describedby": headline, onclick: () => forgetOne(job) }, t("history.forget_one"));
  item.dataset.state = job.state;
  item.replaceChildren(
    thumbnail(job),
    el("div", { class: "words" },
      el("h2", { id: headline }, el("a", { href: pageOf(job) }, titleOf(job))),
      el("p", { class: "hint" }, el("span", { class: `badge ${TONES[job.state] || ""}` }, stateText(job)), " ", time(job.created_at)),
      job.error ? el("p", { class: "problem" }, job.error.detail || job.error.code) : null,
      el("p", { class: "hint id", title: job.id }, job.id.slice(0, 12))),
    remove);
}

function add(job) {
  const item = el("li", { class: "job", "data-id": job.id });
  fill(item, job);
  shown.set(job.id, { job, item });
  $("jobs").append(item);
}

function drop(id) {
  const entry = shown.get(id);
  if (!entry) return;
  const neighbour = entry.item.nextElementSibling || entry.item.previousElementSibling;
  const focused = entry.item.contains(document.activeElement);
  entry.item.remove();
  shown.delete(id);
  if (focused) (neighbour?.querySelector("button") || $("q")).focus();
}

/* ---- the list ---- */

function summarize(total) {
  const none = shown.size === 0;
  const line = none ? t(isFiltered() ? (next === null ? "history.none_found" : "history.none_yet")
    : source.name === "local" ? "history.none_here" : "history.none")
    : total === null || total === undefined ? t("history.count_shown", { n: shown.size })
      : t("history.count", { n: shown.size, total });
  const gone = source.gone();
  $("count").textContent = gone ? `${line} ${t("history.gone", { n: gone })}` : line;
  $("more").hidden = next === null;
  $("more").textContent = t(none ? "history.search_on" : "history.more");
  $("all").hidden = none && next === null;
}

let round = 0;

async function showPage(cursor) {
  const mine = ++round;
  $("more").disabled = true;
  say($("problem"));
  try {
    const page = await source.page(filter, cursor, PAGE);
    if (mine !== round) return; // somebody asked for something else meanwhile
    if (cursor === null) clearList();
    for (const job of page.jobs) if (!shown.has(job.id)) add(job);
    next = page.next;
    summarize(page.total);
  } catch (problem) {
    if (mine === round) showProblem(problem);
  } finally {
    $("more").disabled = false;
  }
}

function clearList() {
  shown.clear();
  $("jobs").replaceChildren();
}

function showProblem(problem) {
  if (problem.status === 401 && source.name === "account") {
    useLocal();
    $("account").open = true;
    say($("key-problem"), t("common.key_unknown"));
  } else if (problem.status === 403 && source.name === "account") {
    say($("problem"), t("history.key_scope"));
  } else {
    say($("problem"), problem.message);
  }
}

/** What is not finished yet is asked for again, all in one call, while somebody looks. */
async function poll() {
  const ids = [...shown.values()].filter(({ job }) => unfinished(job)).map(({ job }) => job.id).slice(0, 100);
  if (ids.length && !document.hidden) {
    try {
      for (const job of await source.refresh(ids)) {
        const entry = shown.get(job.id);
        if (job.state === "gone") drop(job.id);
        else if (entry && JSON.stringify(entry.job) !== JSON.stringify(job)) {
          entry.job = job;
          const focused = entry.item.contains(document.activeElement) && document.activeElement.tagName;
          fill(entry.item, job);
          if (focused) entry.item.querySelector(focused)?.focus();
        }
      }
    } catch {
      // The next time, then.
    }
  }
  setTimeout(poll, POLL_MS);
}

/* ---- deleting, forgetting ---- */

async function removeOne(job) {
  if (!(await confirmed(t("history.delete_question", { title: titleOf(job) }), t("history.delete")))) return;
  try {
    await source.remove(job);
    drop(job.id);
    summarize(source.count(filter));
  } catch (problem) {
    showProblem(problem);
  }
}

async function forgetOne(job) {
  if (!(await confirmed(t("history.forget_one_question"), t("history.forget_one")))) return;
  source.forget(job);
  drop(job.id);
  summarize(source.count(filter));
}

/** All that the filter finds; those that could not be deleted stay in the list. */
async function removeAll() {
  say($("problem"));
  const jobs = await everything();
  const able = jobs.filter((job) => job.mayDelete);
  if (!able.length) {
    say($("problem"), t("history.delete_none"));
    return;
  }
  const question = t(isFiltered() ? "history.delete_found_question" : "history.delete_all_question", { n: able.length });
  if (!(await confirmed(question, t("history.delete_all_yes", { n: able.length })))) return;
  const left = [...able];
  let done = 0, trouble = null;
  const work = async () => {
    for (let job = left.shift(); job && !trouble; job = left.shift()) {
      try {
        await source.remove(job);
        drop(job.id);
        say($("progress"), t("history.delete_progress", { n: ++done, total: able.length }));
      } catch (problem) {
        trouble = problem;
      }
    }
  };
  await Promise.all(Array.from({ length: DELETES_AT_ONCE }, work));
  await showPage(null);
  if (trouble) showProblem(trouble);
}

async function forgetList() {
  if (!(await confirmed(t("history.forget_question"), t("history.forget")))) return;
  forgetAll();
  await useLocal();
}

/* ---- exporting ---- */

const everything = () =>
  source.all(filter, EXPORT_MAX, (n) => say($("progress"), t("history.export_progress", { n })));

async function exportAs(kind) {
  say($("problem"));
  try {
    const jobs = await everything();
    const rows = jobs.map((job) => exportRow(job, location.origin, job.view));
    const day = new Date().toISOString().slice(0, 10);
    if (kind === "csv") download(`darkroom-${day}.csv`, "text/csv;charset=utf-8", toCsv(rows));
    else download(`darkroom-${day}.json`, "application/json", toJson(rows));
    say($("progress"), t(jobs.length < EXPORT_MAX ? "history.exported" : "history.exported_part", { n: jobs.length }));
  } catch (problem) {
    showProblem(problem);
  }
}

/* ---- whose pictures ---- */

async function begin(with_source) {
  const account = with_source.name === "account";
  source = with_source;
  next = null;
  $("account").hidden = account;
  $("key-used").hidden = !account;
  $("forget").hidden = account;
  $("filter-box").open ||= account || matchMedia("(min-width: 50rem)").matches;
  $("lead").textContent = t(account ? "history.lead_account" : "history.lead");
  $("q-hint").textContent = t(account ? "history.search_hint_account" : "history.search_hint");
  clearList();
  $("count").textContent = t("history.loading");
  try {
    await source.load();
  } catch (problem) {
    $("count").textContent = "";
    showProblem(problem);
    return;
  }
  await showPage(null);
}

async function useLocal() {
  key.clear();
  await begin(localSource());
}

async function useKey(event) {
  event.preventDefault();
  const text = $("key").value.trim();
  say($("key-problem"));
  if (!looksLikeKey(text)) {
    say($("key-problem"), t("common.key_malformed"));
    $("key").focus();
    return;
  }
  const account = accountSource(text);
  try {
    await account.load();
  } catch (problem) {
    const name = { 401: "common.key_unknown", 403: "history.key_scope_read" }[problem.status];
    say($("key-problem"), name ? t(name) : problem.message);
    return;
  }
  key.set(text);
  $("key").value = "";
  await begin(account);
}

$("key-form").addEventListener("submit", useKey);
$("key-forget").addEventListener("click", useLocal);
$("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  filter = readFilter();
  showPage(null);
});
$("filter").addEventListener("reset", () => {
  filter = { titles };
  setTimeout(() => showPage(null));
});
for (const id of ["state", "model", "from", "to"]) $(id).addEventListener("change", () => $("filter").requestSubmit());
// Where some were deleted meanwhile, this browser's own list goes on behind those that are shown.
$("more").addEventListener("click", () => showPage(source.name === "local" ? shown.size : next));
$("export-json").addEventListener("click", () => exportAs("json"));
$("export-csv").addEventListener("click", () => exportAs("csv"));
$("forget").addEventListener("click", forgetList);
$("delete-all").addEventListener("click", () => removeAll().catch(showProblem));

$("app").hidden = false;
await begin(key.get() ? accountSource(key.get()) : source);
setTimeout(poll, POLL_MS);
