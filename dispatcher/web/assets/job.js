// SPDX-License-Identifier: MIT
// The status page: follows one job by Server-Sent Events until it ends, then shows the result.
import { cancelJob, getJob, jobOfPage, recallTokens } from "./api.js";

const $ = (id) => document.getElementById(id);
const { id, token } = jobOfPage();
const tokens = recallTokens(id);

const ended = (job) => ["succeeded", "failed", "cancelled"].includes(job.state);

function wait(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `, about ${Math.max(1, Math.round(seconds))} seconds`;
  return `, about ${Math.round(seconds / 60)} minutes`;
}

function queued(job) {
  const ahead = job.position;
  if (ahead === 0) return `Your picture is next${wait(job.eta_seconds)}.`;
  if (ahead === null || ahead === undefined) return "Your picture is waiting.";
  return `${ahead} ${ahead === 1 ? "picture is" : "pictures are"} ahead of yours${wait(job.eta_seconds)}.`;
}

const sentences = {
  queued,
  delayed: () => "Something went wrong on our side; we try again shortly.",
  running: () => "Your picture is being made.",
  succeeded: () => "Here it is.",
  failed: (job) => `It did not work: ${job.error?.detail || "we do not know why"}.`,
  cancelled: () => "This job was cancelled.",
};

const headlines = {
  succeeded: "Your picture is ready",
  failed: "Your picture could not be made",
  cancelled: "Cancelled",
};

function showResult() {
  const link = `/v1/jobs/${id}/result?token=${encodeURIComponent(token)}`;
  $("picture").src = link;
  $("download").href = link;
  $("download").download = `darkroom-${id.slice(0, 8)}.png`;
  $("result").hidden = $("download").hidden = false;
}

function show(job) {
  $("headline").textContent = headlines[job.state] || "Your picture is on its way";
  document.title = `Darkroom: ${$("headline").textContent.toLowerCase()}`;
  $("live").hidden = false;
  $("status").textContent = sentences[job.state](job);
  if (job.state === "running" && job.progress > 0) $("progress").value = job.progress;
  else $("progress").removeAttribute("value");
  $("progress").hidden = $("leave").hidden = ended(job);
  $("cancel").hidden = ended(job) || !tokens.manage;
  $("again").hidden = !ended(job);
  $("delete").hidden = !tokens.delete;
  $("delete").href = `/j/${id}/delete?token=${encodeURIComponent(tokens.delete || "")}`;
  document.body.dataset.state = job.state;
  if (job.state === "succeeded" && $("result").hidden) showResult();
}

function showProblem(problem) {
  $("problem").textContent = problem.status === 404 ? "This job is gone: it was deleted or has expired." : problem.message;
  $("problem").hidden = false;
}

function follow() {
  const events = new EventSource(`/v1/jobs/${id}/events?token=${encodeURIComponent(token)}`);
  events.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    $("problem").hidden = true;
    show(job);
    if (ended(job)) events.close();
  });
  // EventSource reconnects by itself unless the server refused: then ask once why.
  events.onerror = async () => {
    if (events.readyState !== EventSource.CLOSED) return;
    try {
      const job = await getJob(id, token);
      show(job);
      if (!ended(job)) setTimeout(follow, 3000);
    } catch (problem) {
      showProblem(problem);
      if (problem.status === 0 || problem.status >= 500) setTimeout(follow, 3000);
    }
  };
}

$("cancel").addEventListener("click", async () => {
  $("cancel").disabled = true;
  try {
    show(await cancelJob(id, tokens.manage));
  } catch (problem) {
    showProblem(problem);
  }
  $("cancel").disabled = false;
});

follow();
