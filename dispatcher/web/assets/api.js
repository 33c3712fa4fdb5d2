// SPDX-License-Identifier: MIT
// The HTTP API as the pages use it. Every function rejects with a Problem.

/** An RFC 9457 problem document, or a failure to reach the server at all. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title || "Something went wrong.");
    this.field = body.field || "";
    this.status = status;
  }
}

const unreachable = () =>
  new Problem({ detail: "The server cannot be reached. Check your connection and try again." }, 0);

function problemFrom(status, text) {
  try {
    return new Problem(JSON.parse(text), status);
  } catch {
    return new Problem({ detail: `The server answered with status ${status}.` }, status);
  }
}

/** Any route: what it answers as JSON, or null. */
export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw unreachable();
  }
  const text = await response.text();
  if (!response.ok) throw problemFrom(response.status, text);
  return text ? JSON.parse(text) : null;
}

const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });

export const cancelJob = (id, token) =>
  call(`/v1/jobs/${id}/cancel`, { method: "POST", ...bearer(token) });

export const rateJob = (id, token, rating) =>
  call(`/v1/jobs/${id}/rating`, { method: "PUT", body: JSON.stringify({ rating }),
    headers: { ...bearer(token).headers, "Content-Type": "application/json" } });

/** The job that the address of this page names: /j/{id}[/delete]?token=… */
export function jobOfPage() {
  return {
    id: location.pathname.split("/")[2] || "",
    token: new URLSearchParams(location.search).get("token") || "",
  };
}
