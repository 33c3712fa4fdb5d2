// SPDX-License-Identifier: MIT
// The live counter: how many pictures were finished, and how fast, in true numbers from /v1/stats. It is hidden
// until the server has said so, and asks only while somebody looks. Import it, and put this into the page
// (_counter.html):
//
//     <p data-counter hidden>Finished so far: <strong data-total></strong>
//       <span data-pace>per minute: <strong data-rate></strong></span></p>

const EVERY_MS = 5000;
const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 });
let timer = 0;

function show(counter, { finished_total: total, finished_per_minute: rate }) {
  counter.querySelector("[data-total]").textContent = number.format(total);
  counter.querySelector("[data-rate]").textContent = number.format(rate);
  counter.querySelector("[data-pace]").hidden = !(rate > 0);
  counter.hidden = false;
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  const counter = document.querySelector("[data-counter]");
  if (counter) {
    try {
      const answer = await fetch("/v1/stats");
      if (answer.ok) show(counter, await answer.json());
    } catch {
      // The line keeps what it said last.
    }
  }
  timer = setTimeout(poll, EVERY_MS);
}

document.addEventListener("visibilitychange", poll);
poll();
