// SPDX-License-Identifier: MIT
// Debian's Chromium, driven by playwright-core, on the sizes that we look at.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
export const desk = { viewport: { width: 1280, height: 800 } };

export const server = process.env.DARKROOM_SERVER;
const screenshots = process.env.DARKROOM_SCREENSHOTS || "";

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });

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

/** Everything that the page said went wrong: script errors, blocked resources, failed requests. */
export function collectComplaints(page) {
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  page.on("requestfailed", (request) => {
    // The page itself closes the stream of events when the job has ended.
    const why = request.failure().errorText;
    if (why !== "net::ERR_ABORTED") complaints.push(`failed: ${why} ${request.url()}`);
  });
  return complaints;
}
