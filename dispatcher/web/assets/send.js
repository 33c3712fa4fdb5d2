// SPDX-License-Identifier: MIT
// A submission over whatever line there is: tried again with the same Idempotency-Key until there is an answer, so
// that nothing is handed in twice and nothing is lost.
//
//     const job = await send(form, key, { signal, onProgress: (part) => …, onWait: (why, seconds) => … });
//
// onWait: "broken" or "busy" with the seconds that are left, "offline" while there is no network.

const WAITS_S = [1, 2, 4, 8, 15, 15, 15];
const SILENT_MS = 30000; // an upload that does not move is a broken one
const AGAIN = [408, 502, 503, 504];

/** What the server refused, or `lost`: it could not be reached at all. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body?.detail || `status ${status}`);
    this.status = status;
    this.code = String(body?.type || "").split("/").pop();
    this.field = body?.field || "";
    this.limit = body?.limit || 0;
    this.lost = status === 0;
  }
}

const parse = (body) => {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
};

function attempt(form, key, { signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let watch;
    const stop = () => request.abort();
    const moved = () => {
      clearTimeout(watch);
      watch = setTimeout(stop, SILENT_MS);
    };
    const end = (outcome, value) => {
      clearTimeout(watch);
      signal.removeEventListener("abort", stop);
      removeEventListener("offline", stop);
      outcome(value);
    };
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("Idempotency-Key", key);
    request.setRequestHeader("Accept", "application/json");
    request.upload.onprogress = (event) => {
      moved();
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onload = () => {
      const body = parse(request.responseText);
      if ([201, 202].includes(request.status) && body?.id) end(resolve, body);
      else
        end(
          reject,
          Object.assign(new Refusal(request.status, body), {
            retryAfter: Number(request.getResponseHeader("Retry-After")) || 0,
          }),
        );
    };
    request.onerror = request.onabort = () => end(reject, new Refusal(0));
    signal.addEventListener("abort", stop);
    addEventListener("offline", stop);
    moved();
    request.send(form);
  });
}

const pause = (ms, signal, wake) =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      if (wake) removeEventListener(wake, end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (wake) addEventListener(wake, end);
    signal.addEventListener("abort", end);
  });

async function countDown(why, seconds, { signal, onWait }) {
  for (let left = seconds; left > 0 && !signal.aborted; left--) {
    onWait(why, left);
    await pause(1000, signal);
  }
}

const inFlight = (refusal) => refusal.status === 409 && refusal.code === "in-flight";

/** Resolves with the job; rejects with the last Refusal, or with null where `signal` stopped it. */
export async function send(form, key, options) {
  for (let tries = 0; ; ) {
    try {
      return await attempt(form, key, options);
    } catch (refusal) {
      if (options.signal.aborted) throw null;
      while (navigator.onLine === false && !options.signal.aborted) {
        options.onWait("offline", 0);
        await pause(5000, options.signal, "online");
      }
      const again = refusal.lost || AGAIN.includes(refusal.status) || inFlight(refusal);
      if (!again || tries === WAITS_S.length) throw refusal;
      const seconds = Math.min(60, Math.max(WAITS_S[tries++], refusal.retryAfter || 0));
      await countDown(refusal.lost ? "broken" : "busy", seconds, options);
      if (options.signal.aborted) throw null;
      options.onProgress(0);
    }
  }
}
