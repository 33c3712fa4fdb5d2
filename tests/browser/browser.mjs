// SPDX-License-Identifier: MIT
// Debian's Chromium, driven by playwright-core, on the sizes that we look at.
//
//     import { inspect, views, visit } from "./browser.mjs";
//     for (const [name, view] of Object.entries(views))
//       test(`history_is_readable_on_${name}`, async () => {
//         const { page, complaints, close } = await visit(view, "/history");
//         await inspect(page, `history-${name}`);          // axe, no sideways scrolling, a screenshot
//         assert.deepEqual(complaints, []);
//         await close();
//       });
//
// run.py says where the server is and starts each file on its own.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const screenshots = process.env.DARKROOM_SCREENSHOTS || "";

export const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
export const desk = { viewport: { width: 1280, height: 800 } };
export const views = {
  "phone-light": { ...phone, colorScheme: "light" },
  "phone-dark": { ...phone, colorScheme: "dark" },
  "desk-light": { ...desk, colorScheme: "light" },
  "desk-dark": { ...desk, colorScheme: "dark" },
};

export const server = process.env.DARKROOM_SERVER;
/** API keys: one of an account (submit, read) and one of an operator. */
export const accountKey = process.env.DARKROOM_ACCOUNT_KEY;
export const operatorKey = process.env.DARKROOM_OPERATOR_KEY;

export let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
      "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
  });
});
after(() => browser?.close());

/** A page in a browser of its own, where nothing is remembered; English unless `locale` says else. */
export async function visit(options, path = "/") {
  const context = await browser.newContext({ locale: "en-GB", ...options, baseURL: server });
  const page = await context.newPage();
  const complaints = collectComplaints(page);
  await page.goto(path);
  return { context, page, complaints, close: () => context.close() };
}

/** Keeps what a person would have seen; only where DARKROOM_SCREENSHOTS names a folder. */
export async function look(page, name) {
  if (!screenshots) return;
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
}

/** The rules that axe-core finds broken on this page, as text: "" when there are none. */
export async function accessibilityProblems(page) {
  await page.evaluate(axe); // a script element would be stopped by the page's security policy
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`).join("\n");
}

/** What every page in every state must hold: no rule of axe-core broken, contrast among them, and
 * nothing wider than the screen. Keeps a screenshot of this name. */
export async function inspect(page, name) {
  await look(page, name);
  assert.equal(await accessibilityProblems(page), "");
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wider <= 0, `the page is ${wider} px wider than the screen`);
}

/** Everything that the page said went wrong: script errors, what the security policy stopped,
 * failed requests, and requests to anybody else. */
export function collectComplaints(page) {
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (/^https?:$|^wss?:$/.test(url.protocol) && url.origin !== server) complaints.push(`foreign: ${url.origin}`);
  });
  page.on("requestfailed", (request) => {
    // The page itself closes the stream of events when the job has ended.
    const why = request.failure().errorText;
    if (why !== "net::ERR_ABORTED") complaints.push(`failed: ${why} ${request.url()}`);
  });
  return complaints;
}
