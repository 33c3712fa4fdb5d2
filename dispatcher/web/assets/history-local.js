// SPDX-License-Identifier: MIT
// The jobs of this browser: what kept.js knows of them, and what has become of them.
import { call } from "./api.js";
import { allKept, forget, kept } from "./kept.js";

const CHUNK = 100; // of POST /v1/jobs/states

/** Looks all of them up; those that are gone leave the list. */
export function localSource() {
  let jobs = [];
  let gone = 0;

  async function ask(entries) {
    const found = new Map();
    for (let first = 0; first < entries.length; first += CHUNK) {
      const part = entries.slice(first, first + CHUNK).map(({ id, tokens }) => ({ id, token: tokens.view || tokens.manage }));
      const answer = await call("/v1/jobs/states", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ jobs: part }),
      });
      for (const job of answer.jobs) found.set(job.id, job);
      for (const id of answer.missing) {
        forget(id);
        found.set(id, null);
        gone++;
      }
    }
    return found;
  }

  // One whose token is not good any more is still in the list, so that it can be taken off it.
  const describe = ({ id, tokens, model, at }, job) => ({
    id, model, state: "unknown", created_at: at ? new Date(at).toISOString() : "", error: null,
    ...job, view: tokens.view || tokens.manage, mayDelete: Boolean(tokens.delete),
  });

  const wanted = (filter) => (job) =>
    (!filter.state || filter.state.split(",").includes(job.state)) && (!filter.model || job.model === filter.model) &&
    (!filter.from || job.created_at >= filter.from) && (!filter.to || job.created_at <= filter.to) &&
    (!filter.q || job.id.startsWith(filter.q.toLowerCase()) ||
      `${job.model} ${filter.titles[job.model] || ""}`.toLowerCase().includes(filter.q.toLowerCase()));

  return {
    name: "local",
    async load() {
      const entries = allKept();
      const found = await ask(entries);
      jobs = entries.filter(({ id }) => found.get(id) !== null).map((entry) => describe(entry, found.get(entry.id)));
    },
    gone: () => gone,
    count: (filter) => jobs.filter(wanted(filter)).length,
    async page(filter, cursor, limit) {
      const matching = jobs.filter(wanted(filter));
      const first = cursor ?? 0;
      const next = first + limit < matching.length ? first + limit : null;
      return { jobs: matching.slice(first, first + limit), next, total: matching.length };
    },
    all: async (filter) => jobs.filter(wanted(filter)),
    async refresh(ids) {
      const found = await ask(ids.map(kept));
      for (const id of ids) {
        const index = jobs.findIndex((job) => job.id === id);
        const job = found.get(id);
        if (index >= 0 && job) jobs[index] = describe(kept(id), job);
        else if (index >= 0 && job === null) jobs.splice(index, 1);
      }
      return ids.map((id) => jobs.find((job) => job.id === id) || { id, state: "gone" });
    },
    async remove(job) {
      try {
        await call(`/v1/jobs/${job.id}`, { method: "DELETE", headers: { Authorization: `Bearer ${kept(job.id).tokens.delete}` } });
      } catch (problem) {
        if (problem.status !== 404) throw problem; // it was gone before
      }
      this.forget(job);
    },
    forget(job) {
      forget(job.id);
      jobs = jobs.filter(({ id }) => id !== job.id);
    },
  };
}
