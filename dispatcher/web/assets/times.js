// SPDX-License-Identifier: MIT
// Times of a page in the visitor's own zone and manner: every <time datetime> below `root`.
import { language } from "./texts.js";

const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

export function localTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (!Number.isNaN(at.getTime())) element.textContent = format.format(at);
  }
}
