// SPDX-License-Identifier: MIT
// The delete page works without this: what was deleted is forgotten by the browser as well, and "no" goes back.
import { forget } from "./kept.js";

const main = document.getElementById("main");
if ("deleted" in main.dataset) forget(main.dataset.job);

document.getElementById("back")?.addEventListener("click", (event) => {
  if (history.length < 2) return;
  event.preventDefault();
  history.back();
});
