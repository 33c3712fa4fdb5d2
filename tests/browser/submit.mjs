// SPDX-License-Identifier: MIT
// What tests of handing in have in common: the page of a model, the portrait, a look at what was sent. `trial` is a
// model that run.py makes, with every kind of parameter and a part of 3:4.
import { fileURLToPath } from "node:url";
import { operatorKey, server, visit } from "./browser.mjs";

export const file = (path) => fileURLToPath(new URL(path, import.meta.url));
export const portrait = file("../../docs/images/astronaut.png");
export const JOB = /\/j\/[0-9a-f]{34}\?token=/;

/** The page of a model, ready, with what is sent kept for a look: the browser hands out no body of an upload. */
export async function open(options, model = "trial") {
  const visited = await visit(options);
  await visited.page.addInitScript(() => {
    globalThis.sent = [];
    const { send, setRequestHeader } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
      if (name === "Idempotency-Key") this.key = value;
      setRequestHeader.call(this, name, value);
    };
    XMLHttpRequest.prototype.send = function (form) {
      globalThis.sent.push({ ...Object.fromEntries([...form].filter(([, v]) => typeof v === "string")), key: this.key });
      const input = form.get("input");
      if (input) createImageBitmap(input).then((image) => {
        const { width, height } = image;
        const canvas = new OffscreenCanvas(width, height);
        canvas.getContext("2d").drawImage(image, 0, 0);
        const pixel = (x, y) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
        globalThis.pictureSent = { width, height, bytes: input.size, kind: input.type, corner: pixel(5, 5), middle: pixel(width / 2, height / 2) };
      }, () => { globalThis.pictureSent = { bytes: input.size, kind: input.type }; });
      send.call(this, form);
    };
  });
  await go(visited.page, model);
  return visited;
}

export async function go(page, model = "trial") {
  await page.goto(`/m/${model}`);
  await ready(page);
}

export const ready = (page) => page.waitForFunction(() => document.documentElement.dataset.ready === "submit");

/** Keeps the page where it is: what is sent is answered here, with what `answers` say one after the other. */
export async function answerWith(page, ...answers) {
  await page.route("**/v1/jobs", (route) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return answer === "broken" ? route.abort("connectionreset") : route.fulfill(answer);
  });
}

export const refusal = (status, code, more = {}) => ({
  status,
  contentType: "application/problem+json",
  headers: { "Retry-After": "1" },
  body: JSON.stringify({ type: `/problems/${code}`, status, title: "no", ...more }),
});

export async function choose(page, path = portrait) {
  await page.setInputFiles("#file", path);
  await page.locator(".cropper-crop-box").waitFor();
}

export const fill = async (page) => {
  await choose(page);
  await page.check("#consent");
};

export const handIn = async (page) => {
  await page.click("#submit");
  await page.waitForURL(JOB);
};

/** Presses the button where the answer is a refusal of ours, and tells what was sent. */
export async function sentBy(page) {
  await answerWith(page, refusal(422, "invalid", { field: "email" }));
  await page.check("#consent");
  await page.click("#submit");
  await page.locator("#problem-email:not([hidden])").waitFor();
  await page.unroute("**/v1/jobs");
  const sent = await page.evaluate(() => globalThis.sent.at(-1));
  return { ...sent, crop: sent.crop && JSON.parse(sent.crop), params: JSON.parse(sent.params) };
}

// Not `picture`: that is what the browser calls the element with this id.
export const sentPicture = async (page) => (await page.waitForFunction(() => globalThis.pictureSent)).jsonValue();

export const box = (page) => page.locator(".cropper-crop-box").boundingBox();

export const textOf = (page, id) => page.textContent(`#${id}`);

export async function submitted(model) {
  const answer = await fetch(`${server}/v1/queues`, { headers: { Authorization: `Bearer ${operatorKey}` } });
  return (await answer.json()).queues.find((queue) => queue.model === model).submitted;
}

/** A JPEG of this size, red in its upper left, as a browser writes it. */
export async function jpeg(page, width, height) {
  const base64 = await page.evaluate(([w, h]) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d");
    context.fillStyle = "#2040c0";
    context.fillRect(0, 0, w, h);
    context.fillStyle = "#e01010";
    context.fillRect(0, 0, w / 4, h / 4);
    return canvas.toDataURL("image/jpeg", 0.9).split(",")[1];
  }, [width, height]);
  return Buffer.from(base64, "base64");
}

/** With an orientation in its EXIF, behind the mark that begins it. */
export function turned(data, orientation) {
  const tiff = Buffer.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
  const body = Buffer.concat([Buffer.from("Exif\0\0", "latin1"), tiff]);
  const head = Buffer.from([0xff, 0xe1, 0, body.length + 2]);
  return Buffer.concat([data.subarray(0, 2), head, body, data.subarray(2)]);
}

export const named = (name, mimeType, buffer) => ({ name, mimeType, buffer });
