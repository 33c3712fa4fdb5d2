// SPDX-License-Identifier: MIT
// The part of a picture that is used: cropperjs for mouse and touch, a keyboard of our own on top of it.
//
//     const crop = await openCrop(image, { aspect: 1, box: null, label: "…", onChange: (box) => … });
//     crop.box()                 // {x, y, width, height} in pixels of the image
//     crop.set(box); crop.zoom(1.2); crop.reset(); crop.close();
//
// Fetched when a picture was chosen, and not before.
import Cropper from "cropperjs";

const SMALLEST = 50; // pixels of the picture
const SETTLED_MS = 200;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The largest box of this shape, in the middle; in an upright picture nearer to the top, where faces are. */
export function firstBox(width, height, aspect) {
  const wide = Math.min(width, height * aspect);
  const box = { width: wide, height: wide / aspect };
  return { x: (width - box.width) / 2, y: (height - box.height) / (height > width ? 4 : 2), ...box };
}

/** Whole pixels, inside the picture. */
export function wholeBox({ x, y, width, height }, limit) {
  const box = {
    width: clamp(Math.round(width), 1, limit.width),
    height: clamp(Math.round(height), 1, limit.height),
  };
  return {
    x: clamp(Math.round(x), 0, limit.width - box.width),
    y: clamp(Math.round(y), 0, limit.height - box.height),
    ...box,
  };
}

class Crop {
  constructor(image, options) {
    this.image = image;
    this.options = options;
    this.aspect = options.aspect;
    this.limit = { width: image.naturalWidth, height: image.naturalHeight };
    this.quiet = true;
    image.addEventListener("crop", this);
    this.observer = new ResizeObserver(() => this.#fit());
  }

  handleEvent() {
    // What the set-up itself moves is nobody's choice.
    if (!this.quiet) this.options.onChange(this.box());
  }

  /** Puts the tool over the picture, with this box or the first one. */
  async build(box) {
    this.quiet = true;
    this.width = this.image.parentElement.clientWidth;
    await new Promise((resolve) => {
      this.cropper = new Cropper(this.image, {
        aspectRatio: this.aspect,
        viewMode: 1,
        dragMode: "move",
        autoCropArea: 1,
        background: false,
        checkCrossOrigin: false,
        checkOrientation: false, // the browser has turned it already
        responsive: false, // see #fit()
        toggleDragModeOnDblclick: false,
        ready: resolve,
      });
    });
    this.reset();
    if (box) this.set(box);
    this.#label();
    this.quiet = false;
    this.observer.observe(this.image.parentElement);
    return this;
  }

  #label() {
    const frame = this.image.parentElement.querySelector(".cropper-crop-box");
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", this.options.label);
    frame.setAttribute("aria-describedby", this.options.describedBy);
    frame.addEventListener("keydown", (event) => this.#key(event));
  }

  // cropperjs scales with its window, and where that is no wider than nothing for a moment it forgets the box. So the
  // tool is built anew once the width has settled.
  #fit() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const width = this.image.parentElement.clientWidth;
      if (width === 0 || Math.abs(width - this.width) < 2) return;
      const box = this.box();
      this.observer.disconnect();
      this.cropper.destroy();
      this.build(box);
    }, SETTLED_MS);
  }

  box() {
    return wholeBox(this.cropper.getData(), this.limit);
  }

  set(box) {
    const width = clamp(box.width, Math.min(SMALLEST, this.limit.width), this.limit.width);
    const height = Math.min(width / this.aspect, this.limit.height);
    this.cropper.setData({
      width: height * this.aspect,
      height,
      x: clamp(box.x, 0, this.limit.width - height * this.aspect),
      y: clamp(box.y, 0, this.limit.height - height),
    });
  }

  zoom(factor) {
    this.cropper.zoom(factor > 1 ? factor - 1 : 1 - 1 / factor);
  }

  reset() {
    this.cropper.reset();
    this.set(firstBox(this.limit.width, this.limit.height, this.aspect));
  }

  close() {
    clearTimeout(this.timer);
    this.observer.disconnect();
    this.image.removeEventListener("crop", this);
    this.cropper.destroy();
  }

  // The frame's middle stays where it is.
  #grow(by) {
    const { x, y, width, height } = this.box();
    this.set({ x: x - by / 2, y: y - by / this.aspect / 2, width: width + by, height: height + by / this.aspect });
  }

  #key(event) {
    const box = this.box();
    const step = Math.max(1, Math.round(box.width / (event.shiftKey ? 100 : 25)));
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const move = moves[event.key];
    if (move) this.set({ ...box, x: box.x + move[0], y: box.y + move[1] });
    else if (event.key === "+" || event.key === "=") this.#grow(step);
    else if (event.key === "-" || event.key === "_") this.#grow(-step);
    else return;
    event.preventDefault();
  }
}

export const openCrop = (image, options) => new Crop(image, options).build(options.box);
