// SPDX-License-Identifier: MIT
// The page where a picture is handed in. The form works without all this; here come choosing a part, trying again
// over a bad line, and losing nothing in a reload.
import { offerCamera } from "./camera.js";
import { openDraft } from "./draft.js";
import { keep } from "./kept.js";
import { openPicture } from "./picture.js";
import { send } from "./send.js";
import { t } from "./texts.js";

const $ = (id) => document.getElementById(id);
const form = $("form");
const { model } = form.dataset;
const section = $("picture"); // null: the model takes none
const limits = section && {
  maxBytes: Number(section.dataset.maxBytes),
  maxPixels: Number(section.dataset.maxPixels),
  maxSide: Number(section.dataset.maxSide),
};
const aspect = section && section.dataset.aspectWidth / section.dataset.aspectHeight;
const draft = openDraft(form.dataset.draft ?? model); // once more from a job: a draft of its own
const QUEUE_MS = 10000;

let picture = null; // of openPicture()
let crop = null; // of openCrop(); null also where it could not be loaded
let opening = 0; // the newest choice wins
let sending = null; // AbortController of the upload under way

/* ---- problems -------------------------------------------------------------------------------- */

function showProblem(field, text) {
  const line = $(`problem-${field}`);
  if (!line) return false;
  line.textContent = text;
  line.hidden = !text;
  const control = controlOf(field);
  if (text) control?.setAttribute("aria-invalid", "true");
  else control?.removeAttribute("aria-invalid");
  return true;
}

function controlOf(field) {
  return field === "input" ? $("file") : ($(`param-${field}`) ?? $(field));
}

function showFailure(text) {
  $("failed-text").textContent = text;
  $("failed").hidden = !text;
}

function clearProblems() {
  showFailure("");
  for (const line of document.querySelectorAll(".problem")) showProblem(line.id.slice("problem-".length), "");
}

const sayLimits = (name) => t(`submit.${name}`, {
  max_mb: section?.dataset.maxMb,
  max_megapixels: section?.dataset.maxMegapixels,
  max_side: section?.dataset.maxSide,
});

function focusOn(field) {
  const target = field === "input" ? $("pick") : controlOf(field);
  target?.focus();
}

/** All fields that cannot go out as they are; shows what is wrong beside each. */
function findFaults() {
  const faults = [];
  if (section && !picture) faults.push(["input", "problem_no_input"]);
  for (const control of form.elements) {
    if (!control.name || control.type === "file" || control.checkValidity()) continue;
    const field = control.name.replace(/^param\./, "");
    const own = { email: "problem_email", consent: "problem_consent" }[field];
    faults.push([field, own || "problem_param"]);
  }
  for (const [field, name] of faults) showProblem(field, sayLimits(name));
  return faults.map(([field]) => field);
}

function nameOfInputProblem(refusal) {
  if (refusal.limit === limits?.maxBytes) return "problem_too_large";
  return refusal.limit ? "problem_too_many" : "problem_bad_input";
}

/** [field or "", name of a text] */
function blame(refusal) {
  if (refusal.lost) return ["", "gave_up"];
  if (refusal.status === 413) return ["input", "problem_too_large"];
  if (refusal.status === 429) return ["", "problem_rate"];
  if (refusal.status >= 500) return ["", "problem_unavailable"];
  if (refusal.code === "key-reused" || refusal.status === 409) return ["", "problem_reused"];
  const [field] = refusal.field.replace(/^params\./, "").split(".");
  if (field === "input" || field === "crop") return ["input", nameOfInputProblem(refusal)];
  if (field === "email") return ["email", "problem_email"];
  return refusal.field.startsWith("params.") ? [field, "problem_param"] : ["", "problem_other"];
}

/** What was put right is no problem any more. */
function forgive(control) {
  const field = control.name.replace(/^param\./, "");
  if (!control.checkValidity() || !showProblem(field, "")) return;
  if (!document.querySelector("form .problem:not([hidden])")) showFailure("");
}

/* ---- the picture ----------------------------------------------------------------------------- */

const toPreview = (box) => scaled(box, $("preview").naturalWidth / picture.width);
const toPicture = (box) => scaled(box, picture.width / $("preview").naturalWidth);
const scaled = (box, factor) => ({
  x: box.x * factor,
  y: box.y * factor,
  width: box.width * factor,
  height: box.height * factor,
});

function onCrop(box) {
  if (sending) return; // the window was made smaller, say
  const own = toPicture(box);
  const rounded = Object.fromEntries(Object.entries(own).map(([side, value]) => [side, Math.round(value)]));
  if (JSON.stringify(rounded) === JSON.stringify(draft.crop)) return;
  $("crop-state").textContent = t("submit.crop_state", rounded);
  draft.crop = rounded;
  draft.changed();
}

async function showCrop() {
  const image = $("preview");
  crop = null;
  try {
    const { openCrop } = await import("./crop.js");
    const box = draft.crop && toPreview(draft.crop);
    crop = await openCrop(image, { aspect, box, label: t("submit.crop_label"), describedBy: "crop-hint", onChange: onCrop });
    if (!box) onCrop(crop.box());
  } catch {
    $("crop-hint").textContent = t("submit.crop_absent");
    for (const id of ["zoom-in", "zoom-out", "crop-reset"]) $(id).hidden = true;
    draft.crop = null;
  }
}

function closePicture() {
  crop?.close();
  crop = null;
  if (picture) URL.revokeObjectURL(picture.url);
  picture = null;
}

async function showPicture(next) {
  closePicture();
  picture = next;
  $("preview").src = next.url;
  await $("preview").decode();
  $("drop").hidden = true;
  $("chosen").hidden = false;
  await showCrop();
  const { width, height } = next;
  $("preparing").textContent = next.shrunk ? t("submit.shrunk", { width, height }) : "";
}

/** A file that was chosen; `again`: it is the draft's, and so is its crop. */
async function choose(file, again = false) {
  const turn = ++opening;
  clearProblems();
  section.setAttribute("aria-busy", "true");
  try {
    const next = await openPicture(file, limits, (step) => {
      if (turn === opening) $("preparing").textContent = t(`submit.${step}`);
    });
    if (turn !== opening) return;
    if (!again) {
      draft.crop = null;
      draft.changed();
    }
    await showPicture(next);
    if (!again && !(await draft.keepPicture(next.blob))) $("preparing").textContent = t("submit.not_kept");
  } catch (problem) {
    if (turn !== opening) return;
    $("preparing").textContent = "";
    showProblem("input", sayLimits(problem.name.startsWith("problem_") ? problem.name : "problem_bad_input"));
  } finally {
    if (turn === opening) section.removeAttribute("aria-busy");
  }
}

function chooseAnother() {
  opening++;
  closePicture();
  draft.crop = null;
  draft.changed();
  draft.dropPicture();
  $("file").value = "";
  $("preparing").textContent = "";
  $("chosen").hidden = true;
  $("drop").hidden = false;
  $("pick").focus();
}

function takeDrops() {
  const over = (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  };
  section.addEventListener("dragenter", over);
  section.addEventListener("dragover", over);
  section.addEventListener("dragleave", () => $("drop").classList.remove("over"));
  section.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    if (event.dataTransfer.files[0] && !sending) choose(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
    if (!file || sending) return;
    event.preventDefault();
    choose(file);
  });
}

function setUpPicture() {
  $("file").classList.add("visually-hidden");
  $("file").labels[0].classList.add("visually-hidden");
  $("file").tabIndex = -1;
  $("choose").hidden = $("drop-hint").hidden = false;
  $("pick").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    if ($("file").files[0]) choose($("file").files[0]);
  });
  $("another").addEventListener("click", chooseAnother);
  $("zoom-in").addEventListener("click", () => crop?.zoom(1.2));
  $("zoom-out").addEventListener("click", () => crop?.zoom(1 / 1.2));
  $("crop-reset").addEventListener("click", () => crop?.reset());
  offerCamera($("take"), $("capture"), $("camera"), {
    onPicture: choose,
    onDenied: () => showProblem("input", t("submit.camera_denied")),
  });
  takeDrops();
}

/* ---- the other fields ------------------------------------------------------------------------ */

const kept = () => [...form.elements].filter((c) => c.name && !["file", "hidden"].includes(c.type));

function showValue(control) {
  const output = control.type === "range" && control.parentElement.querySelector("output");
  if (output) output.textContent = control.value;
}

function restoreFields() {
  for (const control of kept()) {
    const value = draft.fields[control.name];
    if (typeof value === "boolean" && control.type === "checkbox") control.checked = value;
    else if (typeof value === "string" && control.type !== "checkbox") control.value = value;
    showValue(control);
  }
}

function rememberFields() {
  for (const control of kept())
    draft.fields[control.name] = control.type === "checkbox" ? control.checked : control.value;
  draft.changed();
}

function newSeed(control) {
  const [min, max] = [Number(control.min), Number(control.max)];
  const [random] = crypto.getRandomValues(new Uint32Array(1));
  control.value = String(min + Math.floor((random / 2 ** 32) * (max - min + 1)));
  rememberFields();
}

/** The parameters as JSON; an empty field is left to its default. */
function readParams() {
  const params = {};
  for (const field of document.querySelectorAll("[data-field]")) {
    const control = $(`param-${field.dataset.field}`);
    const { type } = field.dataset;
    if (type === "boolean") params[field.dataset.field] = control.type === "checkbox" ? control.checked : control.value === "true";
    else if (control.value !== "") params[field.dataset.field] = type === "string" ? control.value : Number(control.value);
  }
  return params;
}

/* ---- the queue ------------------------------------------------------------------------------- */

function waitText(seconds) {
  if (seconds >= 5400) return t("submit.hours", { n: Math.round(seconds / 3600) });
  if (seconds >= 90) return t("submit.minutes", { n: Math.round(seconds / 60) });
  return t("submit.seconds", { n: seconds });
}

/** Nobody can promise to the second: as submit_page.c says it. */
const rounded = (seconds) => (seconds > 20 ? Math.ceil(seconds / 10) * 10 : Math.max(5, Math.ceil(seconds / 5) * 5));

function queueText({ state, queued, wait_seconds: wait }) {
  if (state === "open" && wait !== null) return t("submit.queue_open", { queued, wait: waitText(rounded(wait)) });
  const name = { open: "queue_asleep", paused: "queue_paused", full: "queue_full" }[state] || "queue_unknown";
  return t(`submit.${name}`, { queued });
}

async function showQueue() {
  if (document.hidden || sending) return;
  try {
    const answer = await fetch(`/v1/models/${model}`);
    if (!answer.ok) return;
    const text = queueText((await answer.json()).queue);
    if ($("queue").textContent !== text) $("queue").textContent = text;
  } catch {
    // What was said last stays until there is something better.
  }
}

/* ---- handing in ------------------------------------------------------------------------------ */

function formData() {
  const data = new FormData();
  data.append("model", model);
  data.append("lang", document.documentElement.lang);
  data.append("params", JSON.stringify(readParams()));
  if ($("email").value.trim()) data.append("email", $("email").value.trim());
  for (const name of ["crop_of", "crop_token"]) if (form.elements[name]) data.append(name, form.elements[name].value);
  if (section) {
    data.append("crop", JSON.stringify(boxToSend()));
    data.append("input", picture.blob, "input");
  }
  return data;
}

/** Whole pixels inside the picture; the middle where there is no tool to choose. */
function boxToSend() {
  const { width, height } = picture;
  const wide = Math.min(width, Math.floor(height * aspect));
  const middle = { width: wide, height: Math.min(height, Math.floor(wide / aspect)) };
  const box = draft.crop ?? { x: (width - middle.width) / 2, y: (height - middle.height) / 2, ...middle };
  const w = Math.min(width, Math.max(1, Math.round(box.width)));
  const h = Math.min(height, Math.max(1, Math.round(box.height)));
  return {
    x: Math.min(Math.max(0, Math.round(box.x)), width - w),
    y: Math.min(Math.max(0, Math.round(box.y)), height - h),
    width: w,
    height: h,
  };
}

function onProgress(part) {
  $("upload-progress").value = part;
  const percent = Math.floor(part * 100);
  $("upload-text").textContent = part < 1 ? t("submit.uploading", { percent }) : t("submit.uploaded");
}

function onWait(why, seconds) {
  $("upload-progress").removeAttribute("value");
  $("upload-text").textContent = t(`submit.${why}`, { wait: waitText(seconds) });
}

function setSending(controller) {
  sending = controller;
  $("submit").disabled = Boolean(controller);
  $("upload").hidden = !controller;
  form.setAttribute("aria-busy", String(Boolean(controller)));
  for (const part of form.children) if (part !== $("upload")) part.inert = Boolean(controller);
  if (controller) $("stop").focus();
  draft.sending = Boolean(controller);
  draft.save();
}

async function finish(job) {
  keep(job.id, { tokens: job.tokens, model });
  await draft.clear();
  location.assign(`/j/${job.id}?token=${encodeURIComponent(job.tokens.view)}`);
}

function refuse(refusal) {
  setSending(null);
  if (!refusal) {
    showFailure(t("submit.stopped"));
    $("submit").focus();
    return;
  }
  const [field, name] = blame(refusal);
  if (name === "problem_reused") draft.changed();
  const text = sayLimits(name);
  const shown = field && showProblem(field, text);
  showFailure(shown ? t("submit.failed") : text);
  if (shown) focusOn(field);
  else $("failed").scrollIntoView({ block: "nearest" });
}

async function submit(event) {
  event.preventDefault();
  if (sending) return;
  clearProblems();
  const [first] = findFaults();
  if (first) {
    showFailure(t("submit.failed"));
    focusOn(first);
    return;
  }
  setSending(new AbortController());
  onProgress(0);
  try {
    await finish(await send(formData(), draft.key, { signal: sending.signal, onProgress, onWait }));
  } catch (refusal) {
    if (refusal instanceof TypeError) throw refusal; // ours, not the line's
    refuse(refusal);
  }
}

async function restore() {
  const interrupted = draft.sending;
  restoreFields();
  draft.sending = false;
  draft.save();
  const blob = section && (await draft.picture());
  if (blob) await choose(blob, true);
  if (interrupted) showFailure(t("submit.interrupted"));
}

form.noValidate = true;
if (section) setUpPicture();
for (const button of document.querySelectorAll("[data-new-seed]")) {
  button.hidden = false;
  button.addEventListener("click", () => newSeed(button.parentElement.querySelector("input")));
}
form.addEventListener("input", (event) => {
  showValue(event.target);
  if (event.target.type === "file") return;
  forgive(event.target);
  rememberFields();
});
form.addEventListener("submit", submit);
$("stop").addEventListener("click", () => sending?.abort());
// Back from the page of the job: as it was handed in, it is no draft any more.
addEventListener("pageshow", (event) => {
  if (event.persisted && $("submit").disabled) location.reload();
});
setInterval(showQueue, QUEUE_MS);
document.addEventListener("visibilitychange", showQueue);
await restore();
document.documentElement.dataset.ready = "submit";
