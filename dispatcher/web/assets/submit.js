// SPDX-License-Identifier: MIT
// The submission page: a model, a picture with a square crop, an address, one button.
import { listModels, rememberTokens, submitJob } from "./api.js";
import { SquareCrop } from "./crop.js";

const $ = (id) => document.getElementById(id);
const crop = new SquareCrop($("preview"), $("frame"));
let models = [];
let picture = null;

function showProblem(id, text) {
  const element = $(id);
  element.textContent = text;
  element.hidden = !text;
}

function clearProblems() {
  for (const id of ["problem", "problem-input", "problem-email"]) showProblem(id, "");
}

const chosenModel = () => models.find((model) => model.name === $("model").value);
const takesPicture = () => chosenModel().input.kind !== "none";

function showModel() {
  const model = chosenModel();
  $("model-title").textContent = model.title;
  $("model-description").textContent = model.description;
  document.title = `Darkroom: ${model.title}`;
  $("picture").hidden = !takesPicture();
  $("submit").disabled = takesPicture() && !picture;
}

async function showModels() {
  models = await listModels();
  if (!models.length) throw new Error("No model is being served at the moment.");
  const wanted = decodeURIComponent(location.pathname.split("/")[2] || "");
  for (const model of models) $("model").add(new Option(model.title, model.name));
  if (models.some((model) => model.name === wanted)) $("model").value = wanted;
  $("choose-model").hidden = models.length < 2;
  showModel();
  $("form").hidden = false;
}

function tooLarge(file) {
  const limit = chosenModel().input?.max_bytes;
  if (!limit || file.size <= limit) return "";
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  return `This picture has ${megabytes(file.size)} MB; the limit is ${megabytes(limit)} MB.`;
}

function choose(file) {
  clearProblems();
  if (!file) return;
  const problem = tooLarge(file);
  if (problem) {
    showProblem("problem-input", problem);
    return;
  }
  URL.revokeObjectURL($("preview").src);
  picture = file;
  $("preview").src = URL.createObjectURL(file);
}

function chooseAnother() {
  picture = null;
  $("file").value = "";
  $("crop").hidden = true;
  $("drop").hidden = false;
  $("submit").disabled = true;
  $("file").focus();
}

function onPreviewReady() {
  $("drop").hidden = true;
  $("crop").hidden = false;
  $("submit").disabled = false;
  crop.reset();
}

function onPreviewFailed() {
  if (!picture) return;
  chooseAnother();
  showProblem("problem-input", "This file is not a picture that can be shown here: use JPEG, PNG or WebP.");
}

function formData() {
  const form = new FormData();
  form.append("model", $("model").value);
  if (takesPicture()) form.append("crop", JSON.stringify(crop.value()));
  const email = $("email").value.trim();
  if (email) form.append("email", email);
  if (takesPicture()) form.append("input", picture);
  return form;
}

function onUpload(part) {
  $("upload-progress").value = part;
  $("upload-text").textContent = part < 1 ? `Uploading: ${Math.round(part * 100)} %` : "Uploaded. One moment…";
}

async function submit(event) {
  event.preventDefault();
  clearProblems();
  if (!$("email").checkValidity()) {
    showProblem("problem-email", "This does not look like an e-mail address.");
    $("email").focus();
    return;
  }
  $("submit").disabled = true;
  $("upload").hidden = false;
  onUpload(0);
  try {
    const job = await submitJob(formData(), onUpload);
    rememberTokens(job.id, job.tokens, job.model);
    location.assign(`/j/${job.id}?token=${job.tokens.view}`);
  } catch (problem) {
    const home = { email: "problem-email", input: "problem-input", crop: "problem-input" }[problem.field];
    showProblem(home || "problem", problem.message);
    $("upload").hidden = true;
    $("submit").disabled = false;
  }
}

function takeDrops() {
  const drop = $("drop");
  const over = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  drop.addEventListener("dragenter", over);
  drop.addEventListener("dragover", over);
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });
}

$("file").addEventListener("change", (event) => choose(event.target.files[0]));
$("preview").addEventListener("load", onPreviewReady);
$("preview").addEventListener("error", onPreviewFailed);
$("another").addEventListener("click", chooseAnother);
$("model").addEventListener("change", showModel);
$("form").addEventListener("submit", submit);
takeDrops();

showModels()
  .catch((problem) => showProblem("loading", problem.message))
  .then(() => {
    if (!$("form").hidden) $("loading").hidden = true;
  });
