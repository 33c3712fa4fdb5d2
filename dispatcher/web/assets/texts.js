// SPDX-License-Identifier: MIT
// The texts of the page's language, for scripts:
//
//     import { t } from "./texts.js";
//     line.textContent = t("status.ahead", { n: 3 });   // "In front of you: {{n}}"
//
// They are there when the import is done. Whoever puts one into markup escapes it: use textContent.

const load = async () => {
  try {
    const answer = await fetch(`/assets/text/${document.documentElement.lang}.json`);
    return answer.ok ? await answer.json() : {};
  } catch {
    return {}; // offline: the page says what it can
  }
};

const texts = await load();

/** A text by its name ("section.name") with its {{places}} filled in. */
export function t(name, values = {}) {
  const text = name.split(".").reduce((part, key) => part?.[key], texts);
  if (typeof text !== "string") return name;
  return text.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, place) => {
    const value = place.startsWith("t.") ? t(place.slice(2), values) : values[place];
    return String(value ?? "");
  });
}

/** The language of the page, for Intl. */
export const language = document.documentElement.lang;
