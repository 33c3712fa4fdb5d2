// SPDX-License-Identifier: MIT
// The live counter: how many pictures were finished, and how fast, once the server has said so.
//
//     <p data-counter hidden>Finished so far: <strong data-total></strong>
//       <span data-pace>per minute: <strong data-rate></strong></span></p>

const EVERY_MS = 15000;
const counter = document.querySelector("[data-counter]");
const number = new Intl.NumberFormat(document.documentElement.lang);

function show({ finished_total: total, finished_per_minute: rate }) {
  counter.querySelector("[data-total]").textContent = number.format(total);
  counter.querySelector("[data-rate]").textContent = number.format(rate);
  counter.querySelector("[data-pace]").hidden = !(rate > 0);
  counter.hidden = false;
}

async function poll() {
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch("/v1/stats");
      if (answer.ok) show(await answer.json());
    } catch {
      // The line keeps what it said last.
    }
  }
  setTimeout(poll, EVERY_MS);
}

if (counter) poll();
