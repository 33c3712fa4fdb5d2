// SPDX-License-Identifier: MIT
//
// An operation of the API, tried from its page: the form becomes a request, and what came back is
// shown as it came. A token stays in this tab.
import { t } from "./texts.js";

const MAX_SHOWN = 100_000;
const KEPT = "darkroom-docs-token";

const form = document.querySelector("#try");
const body = form.querySelector("#try-body");
const token = form.querySelector("#try-token");
const answer = form.querySelector("#try-answer");

/** What the form asks for: { url, options }. */
function request() {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const field of form.querySelectorAll("[data-in]")) {
    const { name } = field.dataset;
    const value = field.value.trim();
    if (field.dataset.in === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (value && field.dataset.in === "query") query.set(name, value);
    else if (value) headers[name] = value;
  }
  if (token?.value.trim()) headers.Authorization = `Bearer ${token.value.trim()}`;
  if (body) headers["Content-Type"] = "application/json";
  const url = new URL(path + (query.size ? `?${query}` : ""), location.origin);
  return { url, options: { method: form.dataset.method, headers, body: body?.value, cache: "no-store" } };
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function showCurl() {
  const { url, options } = request();
  const lines = [`curl -X ${options.method} ${quoted(url.href)}`];
  for (const [name, value] of Object.entries(options.headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (options.body) lines.push(`-d ${quoted(options.body.length > 2000 ? "…" : options.body)}`);
  form.querySelector("#try-curl").textContent = lines.join(" \\\n  ");
}

function add(name, text, parent = answer) {
  const element = document.createElement(name);
  element.textContent = text;
  parent.append(element);
  return element;
}

async function showBody(response) {
  const type = (response.headers.get("Content-Type") ?? "").split(";")[0];
  if (/^image\/(png|jpeg|webp)$/.test(type)) {
    const image = add("img", "");
    image.alt = type;
    image.src = URL.createObjectURL(await response.blob());
    return;
  }
  let text = type === "text/event-stream" ? await firstEvent(response) : await response.text();
  if (type.endsWith("json") && text) text = JSON.stringify(JSON.parse(text), null, 2);
  if (!text) return;
  const block = add("pre", text.slice(0, MAX_SHOWN));
  block.tabIndex = 0;
}

/** The beginning of a stream that may have no end. */
async function firstEvent(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n\n")) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
  }
  await reader.cancel();
  return text;
}

async function send() {
  const { url, options } = request();
  answer.replaceChildren();
  add("p", t("docs.sending"));
  const begun = performance.now();
  try {
    const response = await fetch(url, options);
    const shown = `${response.status} ${response.statusText} · ${Math.round(performance.now() - begun)} ms`;
    answer.replaceChildren();
    add("p", shown).className = response.ok ? "good" : "problem";
    add("pre", [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n")).tabIndex = 0;
    await showBody(response);
  } catch (problem) {
    answer.replaceChildren();
    add("p", `${t("docs.failed")} ${problem.message}`).className = "problem";
  }
}

/** A picture becomes the member of the body that takes one. */
async function takeFile(file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  const value = JSON.parse(body.value);
  value["input" in value ? "input" : "photo"] = url;
  body.value = JSON.stringify(value, null, 2);
  showCurl();
}

form.hidden = false;
if (token) token.value = sessionStorage.getItem(KEPT) ?? "";
showCurl();
form.addEventListener("input", () => {
  if (token) sessionStorage.setItem(KEPT, token.value);
  showCurl();
});
form.querySelector("#try-file")?.addEventListener("change", (event) => takeFile(event.target.files[0]));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
