// SPDX-License-Identifier: MIT
// The curves of the fleet page as numbers: the server's samples put together over many answers, of which each brings
// only what is new, and which may come from several dispatchers. No DOM, so that a test can run it.
//
//     const series = new Series();
//     series.add(answer.samples);          // next time ask with ?since=${series.last}
//     const { times, queued, running, rate, oldest } = series.of("");     // of all models, or of one

export const KEPT_SECONDS = 900;
const RATE_SECONDS = 60;

export class Series {
  samples = new Map(); // seconds since 1970 → {model: {queued, running, finished, oldest}}
  step = 5;
  last = 0;

  add({ step_seconds: step, from, count, models }) {
    this.step = step;
    for (let i = 0; i < count; i++) {
      const at = from + i * step;
      const moment = {};
      for (const [model, values] of Object.entries(models)) {
        if (values.queued[i] === null) continue; // Redis did not answer then
        moment[model] = {
          queued: values.queued[i], running: values.running[i], finished: values.finished[i], oldest: values.oldest_seconds[i],
        };
      }
      // What one dispatcher missed another one may know.
      if (Object.keys(moment).length || !this.samples.has(at)) this.samples.set(at, moment);
      this.last = Math.max(this.last, at);
    }
    for (const at of this.samples.keys()) if (at < this.last - KEPT_SECONDS) this.samples.delete(at);
  }

  /** One moment of one model, or of all together; null where nothing is known. */
  at(time, model) {
    const moment = this.samples.get(time) || {};
    const parts = model ? [moment[model]].filter(Boolean) : Object.values(moment);
    if (!parts.length) return null;
    const sum = (name) => parts.reduce((total, part) => total + part[name], 0);
    return { queued: sum("queued"), running: sum("running"), finished: sum("finished"), oldest: Math.max(...parts.map((p) => p.oldest)) };
  }

  /** Finished in a minute, from the oldest sample that is at most a minute older; null where there is none. */
  rateAt(time, model) {
    const now = this.at(time, model);
    for (let back = RATE_SECONDS; now && back >= this.step; back -= this.step) {
      const then = this.at(time - back, model);
      if (then) return now.finished < then.finished ? null : ((now.finished - then.finished) * 60) / back;
    }
    return null;
  }

  of(model) {
    const times = [];
    for (let at = Math.max(this.last - KEPT_SECONDS, Math.min(...this.samples.keys())); at <= this.last; at += this.step) times.push(at);
    const column = (name) => times.map((at) => this.at(at, model)?.[name] ?? null);
    return {
      times, queued: column("queued"), running: column("running"), oldest: column("oldest"),
      rate: times.map((at) => this.rateAt(at, model)),
    };
  }
}
