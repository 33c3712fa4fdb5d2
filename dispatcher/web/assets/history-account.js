// SPDX-License-Identifier: MIT
// All jobs of the account that an API key stands for, by GET /v1/jobs; the server filters and searches.
import { call } from "./api.js";

const ROUNDS = 5; // empty pages that one click looks through

export function accountSource(key) {
  const headers = { Authorization: `Bearer ${key}` };

  // A key of the account may look at every job; pictures want a token, which stands in the job's own link.
  const describe = (job) => ({
    ...job, view: new URL(job.links.page).searchParams.get("token") || "", mayDelete: true,
  });

  async function ask(filter, cursor, limit) {
    const query = new URLSearchParams({ limit });
    for (const name of ["state", "model", "from", "to", "q"]) if (filter[name]) query.set(name, filter[name]);
    if (cursor !== null && cursor !== undefined) query.set("cursor", cursor);
    const { jobs, next } = await call(`/v1/jobs?${query}`, { headers });
    return { jobs: jobs.map(describe), next };
  }

  return {
    name: "account",
    load: () => ask({}, null, 1), // a wrong key says so before the list is cleared
    gone: () => 0,
    count: () => null,
    async page(filter, cursor, limit) {
      const jobs = [];
      let next = cursor;
      for (let round = 0; round < ROUNDS && jobs.length < limit && (round === 0 || next !== null); round++) {
        const page = await ask(filter, next, limit - jobs.length);
        jobs.push(...page.jobs);
        next = page.next;
      }
      return { jobs, next, total: null };
    },
    async all(filter, max, onProgress) {
      const jobs = [];
      let next = null;
      do {
        const page = await ask(filter, next, 100);
        jobs.push(...page.jobs);
        next = page.next;
        onProgress(jobs.length);
      } while (next !== null && jobs.length < max);
      return jobs.slice(0, max);
    },
    async refresh(ids) {
      const answer = await call("/v1/jobs/states", {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/json" },
        body: JSON.stringify({ jobs: ids.map((id) => ({ id })) }),
      });
      const found = new Map(answer.jobs.map((job) => [job.id, describe(job)]));
      return ids.map((id) => found.get(id) || { id, state: "gone" });
    },
    async remove(job) {
      try {
        await call(`/v1/jobs/${job.id}`, { method: "DELETE", headers });
      } catch (problem) {
        if (problem.status !== 404) throw problem;
      }
    },
    forget() {},
  };
}
