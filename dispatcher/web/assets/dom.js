// SPDX-License-Identifier: MIT
// Short hands for pages that are built from data. Nothing here takes markup, so nothing of a user's can become any.
import { language, t } from "./texts.js";

export const $ = (id) => document.getElementById(id);

/** An element: el("a", { href, class: "quiet", onclick }, "text", otherElement, null). */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Shows a line, or hides its place where there is none. */
export function say(element, text = "") {
  element.textContent = text;
  element.hidden = !text;
}

/** Asks with a dialog of the page; true once the person agreed. The harmless answer has the focus. */
export function confirmed(question, action) {
  const no = el("button", { value: "no", class: "quiet" }, t("common.cancel"));
  const yes = el("button", { value: "yes" }, action);
  const words = el("p", { id: "question" }, question);
  const dialog = el("dialog", { class: "ask", "aria-labelledby": "question" },
    el("form", { method: "dialog" }, words, el("p", { class: "actions" }, yes, no)));
  const opener = document.activeElement;
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
      if (opener?.isConnected) opener.focus();
    });
  });
}

const dateTime = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

/** A moment as an element; "" where it is none. */
export function time(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "" : el("time", { datetime: date.toISOString() }, dateTime.format(date));
}

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

const inUnit = (count, unit, digits = 0) =>
  new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "narrow", maximumFractionDigits: digits }).format(count);

/** 93 → "1m 33s" in the page's language: the two largest units that it has. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return inUnit(Math.max(0, seconds), "second", 1);
  const index = units.findIndex(([, size]) => seconds >= size);
  const [unit, size] = units[index];
  const [part, partSize] = units[index + 1] || ["second", Infinity];
  const rest = Math.floor((seconds % size) / partSize);
  return inUnit(Math.floor(seconds / size), unit) + (rest ? ` ${inUnit(rest, part)}` : "");
}

export const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

/** Begins a download of a text that was made here. */
export function download(name, type, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
