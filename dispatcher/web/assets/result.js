// SPDX-License-Identifier: MIT
// What the result's part of a job's page does beyond links and forms: the slider between before and after, sharing,
// rating without a reload.
import { rateJob } from "./api.js";
import { t } from "./texts.js";

const $ = (id) => document.getElementById(id);

/* ---- before and after ---- */

/** Two pictures become one, with a slider over it that keys, fingers and mouse all move. */
function makeSlider(box) {
  const before = $("before");
  if (!before || box.classList.contains("slides")) return;
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: 100, value: 50, id: "slider" });
  slider.setAttribute("aria-label", box.dataset.label);
  const move = () => box.style.setProperty("--at", `${slider.value}%`);
  slider.addEventListener("input", move);
  const start = () => {
    if (!before.naturalWidth) return; // no crop was kept
    box.classList.add("slides");
    box.append(slider);
    move();
  };
  before.addEventListener("error", () => before.closest("figure").remove(), { once: true });
  if (before.complete && !before.naturalWidth) before.closest("figure").remove();
  else if (before.complete) start();
  else before.addEventListener("load", start, { once: true });
}

/* ---- sharing ---- */

async function copy(link) {
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    $("share-link").select(); // no clipboard without https
    document.execCommand("copy");
  }
  $("share-done").textContent = t("result.copied");
}

function setUpSharing(part) {
  const { share: url, title } = part.dataset;
  $("share-actions").hidden = false;
  $("share-button").hidden = !navigator.share;
  $("copy-button").addEventListener("click", () => copy(url));
  $("share-link").addEventListener("focus", (event) => event.target.select());
  $("share-button").addEventListener("click", async () => {
    try {
      await navigator.share({ title, url });
    } catch (error) {
      if (error.name !== "AbortError") await copy(url); // else they thought better of it
    }
  });
}

/* ---- rating ---- */

function setUpRating(part, id, token) {
  const buttons = Object.fromEntries([...part.querySelectorAll("[data-rate]")].map((form) => [form.dataset.rate, form]));
  const pressed = (form) => form.querySelector("button").getAttribute("aria-pressed") === "true";
  for (const [word, form] of Object.entries(buttons))
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const rating = pressed(form) ? null : word;
      try {
        await rateJob(id, token, rating);
        for (const [other, its] of Object.entries(buttons))
          its.querySelector("button").setAttribute("aria-pressed", String(other === rating));
        $("rated").textContent = rating ? t("result.rated") : "";
      } catch (problem) {
        $("rated").textContent = t("result.rate_failed", { why: problem.message });
      }
    });
}

export function setUpResult(id, token) {
  if ($("compare")) makeSlider($("compare"));
  if ($("share")) setUpSharing($("share"));
  if ($("rating")) setUpRating($("rating"), id, token);
}
