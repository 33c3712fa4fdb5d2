// SPDX-License-Identifier: MIT
// A file that somebody chose, made ready to be shown and sent.
//
//     const picture = await openPicture(file, limits, (step) => …);   // or throws a PictureProblem
//     image.src = picture.url;  form.append("input", picture.blob);
//     const factor = picture.width / image.naturalWidth;              // of a crop
//
// It is sent as it is where it can be. What is longer than LONGEST a side, breaks a limit, or is of a kind that the
// server does not take is drawn anew as a JPEG, upright, without what its camera wrote about it. What the browser
// cannot show, a telephone's HEIC, is shown by a preview of the server's.

export const LONGEST = 3840;
const TAKEN = ["jpeg", "png", "webp", "heic"];
const QUALITIES = [0.92, 0.8, 0.65, 0.5];
const PREVIEW_TRIES = 5;

/** `name` is a text's: problem_too_large, problem_too_many, problem_bad_input, problem_unavailable. */
export class PictureProblem extends Error {
  constructor(name) {
    super(name);
    this.name = name;
  }
}

const text = (bytes, from, to) => String.fromCharCode(...bytes.slice(from, to));

/** By content: "jpeg", "png", "webp", "heic", or "" for anything else, animations among it. */
export async function kindOf(blob) {
  const bytes = new Uint8Array(await blob.slice(0, 64).arrayBuffer());
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return "jpeg";
  if (text(bytes, 1, 4) === "PNG") return "png";
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP")
    return text(bytes, 12, 16) === "VP8X" && bytes[20] & 2 ? "" : "webp";
  if (text(bytes, 4, 8) === "ftyp" && /hei[cxms]/.test(text(bytes, 8, 64))) return "heic";
  return "";
}

async function load(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  if (!image.naturalWidth) throw new Error("nothing to show");
  return image;
}

const toBlob = (canvas, quality) =>
  new Promise((resolve) => {
    canvas.toBlob(resolve, "image/jpeg", quality);
  });

async function draw(image, width, height, maxBytes) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  for (const quality of QUALITIES) {
    const blob = await toBlob(canvas, quality);
    if (blob && blob.size <= maxBytes) return blob;
  }
  return null;
}

async function redraw(image, limits) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(
    1,
    Math.min(LONGEST, limits.maxSide) / Math.max(width, height),
    Math.sqrt(limits.maxPixels / (width * height)),
  );
  const size = [width, height].map((side) => Math.max(1, Math.floor(side * scale)));
  const blob = await draw(image, ...size, limits.maxBytes);
  if (!blob) throw new PictureProblem("problem_too_large");
  return { blob, width: size[0], height: size[1], url: URL.createObjectURL(blob), shrunk: scale < 1 };
}

async function askPreview(blob) {
  for (let i = 0; i < PREVIEW_TRIES; i++) {
    const answer = await fetch("/v1/previews", {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: blob,
    }).catch(() => null);
    if (answer?.ok) return answer;
    if (answer?.status === 413) throw new PictureProblem("problem_too_large");
    if (answer?.status === 422) throw new PictureProblem("problem_bad_input");
    if (answer?.status === 429) throw new PictureProblem("problem_rate");
    await new Promise((resolve) => {
      setTimeout(resolve, 1000 * (Number(answer?.headers.get("Retry-After")) || 2));
    });
  }
  throw new PictureProblem("problem_unavailable");
}

async function preview(blob, limits) {
  if (blob.size > limits.maxBytes) throw new PictureProblem("problem_too_large");
  const answer = await askPreview(blob);
  const [width, height] = (answer.headers.get("Picture-Size") || "").split("x").map(Number);
  if (!width || !height) throw new PictureProblem("problem_unavailable");
  if (width * height > limits.maxPixels || Math.max(width, height) > limits.maxSide)
    throw new PictureProblem("problem_too_many");
  return { blob, width, height, url: URL.createObjectURL(await answer.blob()), shrunk: false };
}

/** {blob, width, height, url, shrunk}: what is sent, its size as the server counts it, and what to show; the URL is
 * the caller's to revoke. `onStep` is told "preparing" and "previewing". */
export async function openPicture(file, limits, onStep) {
  const kind = await kindOf(file);
  const url = URL.createObjectURL(file);
  onStep("preparing");
  let image;
  try {
    image = await load(url);
  } catch {
    URL.revokeObjectURL(url);
    if (kind !== "heic") throw new PictureProblem("problem_bad_input");
    onStep("previewing");
    return preview(file, limits);
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  const fits =
    Math.max(width, height) <= Math.min(LONGEST, limits.maxSide) &&
    width * height <= limits.maxPixels &&
    file.size <= limits.maxBytes;
  if (fits && TAKEN.includes(kind)) return { blob: file, width, height, url, shrunk: false };
  try {
    return await redraw(image, limits);
  } finally {
    URL.revokeObjectURL(url);
  }
}
