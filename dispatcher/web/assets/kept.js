// SPDX-License-Identifier: MIT
// What this browser knows of the jobs that were handed in with it: an entry of localStorage for each, as
// {tokens, model, at}. Entries stand alone, so two tabs never write over each other. No account, no cookie:
// whoever uses this browser may see and delete these pictures, nobody else.
//
//     keep(job.id, { tokens: job.tokens, model: job.model });
//     const { manage } = kept(id).tokens;
//     for (const { id, tokens, model, at } of allKept()) …      // the newest first
//     forget(id);
//
// Storage may be absent, full, or hold what somebody else wrote: then an entry is not there, and nothing throws.

const PREFIX = "darkroom.job.";
export const KEPT_MAX = 300;
export const KEPT_DAYS = 60; // longer than any picture is kept
const TEXT_MAX = 100;
const ID = /^[0-9a-f]{34}$/;

const text = (value) => (typeof value === "string" && value.length <= TEXT_MAX ? value : "");

/** The entry behind a text of the storage, or null where it is none of ours. Reads what earlier versions wrote. */
function parse(id, value) {
  let entry;
  try {
    entry = JSON.parse(value);
  } catch {
    return null;
  }
  if (!ID.test(id) || typeof entry !== "object" || entry === null) return null;
  const from = typeof entry.tokens === "object" && entry.tokens !== null ? entry.tokens : entry;
  const tokens = { view: text(from.view), manage: text(from.manage), delete: text(from.delete) };
  if (!tokens.view && !tokens.manage && !tokens.delete) return null;
  const at = Number.isFinite(entry.at) ? entry.at : 0;
  return { id, tokens, model: text(entry.model), at };
}

function read(id) {
  try {
    return parse(id, localStorage.getItem(PREFIX + id));
  } catch {
    return null;
  }
}

function write(entry) {
  const { id, ...rest } = entry;
  localStorage.setItem(PREFIX + id, JSON.stringify(rest));
}

/** All entries, the newest first. Those that are too old or unreadable are dropped. */
export function allKept(now = Date.now()) {
  const entries = [];
  try {
    const keys = Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i));
    for (const key of keys) {
      if (!key?.startsWith(PREFIX)) continue;
      const entry = parse(key.slice(PREFIX.length), localStorage.getItem(key));
      if (entry && !entry.at) write(Object.assign(entry, { at: now })); // its days begin now
      if (entry && entry.at > now - KEPT_DAYS * 86400000) entries.push(entry);
      else localStorage.removeItem(key);
    }
  } catch {
    // What could be read is all there is.
  }
  return entries.sort((a, b) => b.at - a.at || (a.id < b.id ? -1 : 1));
}

/** Remembers a job; false where the browser keeps nothing. The oldest make room. */
export function keep(id, { tokens, model = "", at = Date.now() }) {
  const entry = parse(id, JSON.stringify({ tokens, model, at }));
  if (!entry) return false;
  for (const old of allKept().slice(KEPT_MAX - 1)) if (old.id !== id) forget(old.id);
  for (let tries = 0; tries < 4; tries++) {
    try {
      write(entry);
      return true;
    } catch {
      const oldest = allKept().pop(); // full: of other pages of this site, or of these
      if (!oldest) return false;
      forget(oldest.id);
    }
  }
  return false;
}

/** The entry of a job; without any tokens where it is not known. */
export const kept = (id) => read(id) || { id, tokens: {}, model: "", at: 0 };

export function forget(id) {
  try {
    localStorage.removeItem(PREFIX + id);
  } catch {
    // Nothing was kept.
  }
}

export function forgetAll() {
  for (const { id } of allKept()) forget(id);
}
