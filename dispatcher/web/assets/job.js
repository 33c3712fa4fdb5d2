// SPDX-License-Identifier: MIT
// The page of a job. The server has written it as it is now, and a plain reload would do the same as this: while
// the job waits or runs its events move place, time and progress; once it is something else, the page is
// fetched again and put in place of the old one.
import { cancelJob, jobOfPage } from "./api.js";
import "./counter.js";
import { kept } from "./kept.js";
import { setUpResult } from "./result.js";
import { t } from "./texts.js";
import { localTimes } from "./times.js";

const $ = (id) => document.getElementById(id);
const AGAIN_MS = 3000;
const { id, token } = jobOfPage();
let events = null;
let timer = 0;
let mail = null; // what the last event said of it

const main = () => $("main");
const ended = () => !["queued", "running", "delayed"].includes(main().dataset.state);

function say(place, text) {
  if ($(place)) {
    $(place).textContent = text;
    $(place).hidden = !text;
  }
}

/* ---- the page as it is now ---- */

async function refresh() {
  clearTimeout(timer);
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status >= 500) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = page.title;
    main().replaceWith(document.importNode(page.getElementById("main"), true));
    setUp();
    return answer.ok;
  } catch {
    say("line", navigator.onLine ? t("status.line_lost") : t("status.offline"));
    timer = setTimeout(follow, AGAIN_MS);
    return false;
  }
}

/* ---- waiting ---- */

function wait(job) {
  if (job.state === "running") return job.progress > 0 ? t("status.percent", { n: Math.floor(job.progress * 100) }) : "";
  const seconds = job.eta_seconds;
  if (seconds === null) return t("status.wait_unknown");
  if (seconds < 90) return t("status.wait_seconds", { n: Math.max(1, seconds) });
  if (seconds < 90 * 60) return t("status.wait_minutes", { n: Math.ceil(seconds / 60) });
  return t("status.wait_hours", { n: Math.ceil(seconds / 3600) });
}

function place(job) {
  if (job.state === "running") return t("status.running");
  if (job.position === 0) return t("status.next");
  return job.position === null ? t("status.queued") : t("status.ahead", { n: job.position });
}

// The page is asked for anew when its state is another, when a delayed job was tried once more, and when the events
// have other news of the mail than before. It is at least as new as the event, so this ends.
function isOld(job) {
  const { state, updated } = main().dataset;
  const news = JSON.stringify(job.notification);
  const other = mail !== null && mail !== news;
  mail = news;
  if (other || ![state, "queued", "running"].includes(job.state)) return true;
  return job.state === "delayed" ? job.updated_at !== updated : state === "delayed";
}

function show(job) {
  if (isOld(job)) {
    refresh();
    return;
  }
  say("line", "");
  if (job.state === "delayed") return;
  main().dataset.state = job.state;
  if ($("place").textContent.trim() !== place(job)) $("place").textContent = place(job);
  $("wait").textContent = wait(job);
  if (job.state === "running" && job.progress > 0) $("progress").value = Math.floor(job.progress * 100);
  else $("progress").removeAttribute("value");
}

function stop() {
  clearTimeout(timer);
  events?.close();
  events = null;
}

function follow() {
  stop();
  if (ended()) return;
  const stream = new EventSource(`/v1/jobs/${id}/events?token=${encodeURIComponent(token)}`);
  events = stream;
  stream.onopen = () => say("line", "");
  stream.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    if (["succeeded", "failed", "cancelled"].includes(job.state)) stop();
    show(job);
  });
  // It reconnects by itself unless the server has refused: then the page itself says why.
  stream.onerror = () => {
    say("line", navigator.onLine ? t("status.line_lost") : t("status.offline"));
    if (stream.readyState === EventSource.CLOSED && events === stream) {
      stop();
      timer = setTimeout(refresh, AGAIN_MS);
    }
  };
}

async function cancel(event) {
  const { manage } = kept(id).tokens;
  if (!manage) return; // by the form, with its cookie
  event.preventDefault();
  const button = $("cancel").querySelector("button");
  button.disabled = true;
  say("problem", "");
  try {
    await cancelJob(id, manage);
    await refresh();
  } catch (problem) {
    button.disabled = false;
    if (problem.status === 404 || problem.status === 409) await refresh();
    else say("problem", t("status.cancel_failed", { why: problem.message }));
  }
}

/* ---- all of them ---- */

function setUp() {
  const tokens = kept(id).tokens;
  localTimes();
  if (tokens.manage && $("cancel")) $("cancel").hidden = false;
  $("cancel")?.addEventListener("submit", cancel);
  if (tokens.delete && $("delete")) {
    $("delete").href = `/j/${id}/delete?token=${encodeURIComponent(tokens.delete)}`;
    $("delete").hidden = false;
    if ($("delete-hint")) $("delete-hint").hidden = true;
  }
  setUpResult(id, token);
  follow();
}

addEventListener("pagehide", stop);
// Back from another page, as the browser had kept this one: what has happened meanwhile?
addEventListener("pageshow", (event) => event.persisted && refresh());
addEventListener("online", () => !ended() && refresh());
setUp();
