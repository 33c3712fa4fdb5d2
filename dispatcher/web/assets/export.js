// SPDX-License-Identifier: MIT
// Lists of jobs as files. What is exported are links to look at a picture; never the rights to change or delete it.

const COLUMNS = ["id", "model", "state", "created_at", "updated_at", "error", "page", "result"];

/** A job's line of an export. `origin` stands in front of links; `view` is the token that its links carry. */
export function exportRow(job, origin, view) {
  const token = view ? `?token=${encodeURIComponent(view)}` : "";
  return {
    id: job.id,
    model: job.model,
    state: job.state,
    created_at: job.created_at ?? "",
    updated_at: job.updated_at ?? "",
    error: job.error?.code ?? "",
    page: `${origin}/j/${job.id}${token}`,
    result: job.state === "succeeded" ? `${origin}/v1/jobs/${job.id}/result${token}` : "",
  };
}

export const toJson = (rows) => `${JSON.stringify({ jobs: rows }, null, 2)}\n`;

// A spreadsheet takes a cell that begins like this for a formula and runs it; behind an apostrophe it is a text.
const FORMULA = /^[\s\uFEFF]*[=+\-@\t\r\n＝＋－＠]/;

export function csvCell(value) {
  const text = String(value ?? "");
  const tame = FORMULA.test(text) ? `'${text}` : text;
  return /[",;\r\n\t']/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
}

/** RFC 4180, with a byte order mark so that spreadsheets read it as UTF-8. */
export const toCsv = (rows) =>
  `\uFEFF${[COLUMNS, ...rows.map((row) => COLUMNS.map((name) => row[name]))]
    .map((cells) => cells.map(csvCell).join(",")).join("\r\n")}\r\n`;
