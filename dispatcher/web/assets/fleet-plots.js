// SPDX-License-Identifier: MIT
// Three small curves over the last quarter of an hour, drawn by uPlot in the page's own colours. Each says its latest
// values as text, so that nothing is in the picture alone.
import uPlot from "uplot";

import { el, number } from "./dom.js";
import { KEPT_SECONDS } from "./fleet-series.js";
import { language, t } from "./texts.js";

const HEIGHT = 150;
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
const token = (name) => getComputedStyle(document.querySelector(".plot")).getPropertyValue(name).trim();

const CURVES = [
  { title: "fleet.plot_jobs", lines: [["queued", "fleet.queued", "--plot-1"], ["running", "fleet.running", "--plot-2"]], digits: 0 },
  { title: "fleet.plot_rate", lines: [["rate", "fleet.rate_out", "--plot-2"]], digits: 1 },
  { title: "fleet.plot_oldest", lines: [["oldest", "fleet.oldest", "--plot-1"]], digits: 1 },
];

function axis(more) {
  const color = token("--soft");
  return { stroke: color, font: "12px system-ui, sans-serif", grid: { stroke: token("--line"), width: 1 },
    ticks: { stroke: token("--line"), width: 1, size: 4 }, ...more };
}

function options(curve, width, onCursor) {
  return {
    width, height: HEIGHT, legend: { show: false },
    cursor: { sync: { key: "fleet" }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.08] } },
    axes: [
      axis({ values: (_, splits) => splits.map((at) => clock.format(new Date(at * 1000))), size: 28, space: 70 }),
      axis({ size: 48, values: (_, splits) => splits.map((value) => number(value, 1)) }),
    ],
    series: [{}, ...curve.lines.map(([, , color]) => ({ stroke: token(color), width: 2, points: { show: false } }))],
    hooks: { setCursor: [onCursor] },
  };
}

/** One figure: a caption with the latest values, or those under the pointer, and the curve. */
class Figure {
  constructor(curve) {
    this.curve = curve;
    this.values = curve.lines.map(([, name, color]) =>
      [el("span", { class: `swatch ${color.slice(2)}`, "aria-hidden": "true" }), `${t(name)}: `, el("b")]);
    this.canvas = el("div", { class: "curve", "aria-hidden": "true" });
    this.element = el("figure", { class: "plot" }, el("figcaption", {}, el("span", { class: "name" }, t(curve.title)),
      ...this.values.map((parts) => el("span", { class: "value" }, ...parts))), this.canvas);
  }

  say(index) {
    this.curve.lines.forEach(([name], i) => {
      const column = this.data?.[name] || [];
      this.values[i][2].textContent = number(column[index ?? column.length - 1] ?? null, this.curve.digits);
    });
  }

  draw() {
    this.plot?.destroy();
    this.plot = new uPlot(options(this.curve, this.canvas.clientWidth, (plot) => this.say(plot.cursor.idx)),
      this.columns(), this.canvas);
  }

  columns() {
    const end = this.data?.times.at(-1) ?? Math.floor(Date.now() / 1000);
    const times = this.data?.times ?? [];
    // The whole quarter of an hour, however much of it is known.
    const lead = times.length && times[0] > end - KEPT_SECONDS ? [end - KEPT_SECONDS] : [];
    return [[...lead, ...times], ...this.curve.lines.map(([name]) => [...lead.map(() => null), ...(this.data?.[name] ?? [])])];
  }

  show(data) {
    this.data = data;
    if (!this.plot) this.draw();
    else this.plot.setData(this.columns());
    this.say(this.plot.cursor.idx);
  }
}

/** Fills `host` with the figures; the answer's show(series.of(model)) brings them up to date. */
export function plots(host) {
  const figures = CURVES.map((curve) => new Figure(curve));
  host.replaceChildren(...figures.map((figure) => figure.element));
  new ResizeObserver(() => {
    for (const { plot, canvas } of figures) {
      if (plot && canvas.clientWidth) plot.setSize({ width: canvas.clientWidth, height: HEIGHT });
    }
  }).observe(host);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const figure of figures) if (figure.plot) figure.draw();
  });
  return { show: (data) => figures.forEach((figure) => figure.show(data)) };
}
