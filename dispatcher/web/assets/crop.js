// SPDX-License-Identifier: MIT
// A square crop over an <img>: by mouse, touch and keyboard. The square is kept in pixels of the
// picture, so that it survives a change of the window's size.

const SMALLEST = 50; // pixels of the picture

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class SquareCrop {
  constructor(image, frame) {
    this.image = image;
    this.frame = frame;
    this.square = { x: 0, y: 0, size: 0 };
    frame.addEventListener("pointerdown", (event) => this.#grab(event));
    frame.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(image);
  }

  /** Starts with the largest centred square; a portrait's face is above the middle. */
  reset() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const size = Math.min(width, height);
    this.square = { x: Math.round((width - size) / 2), y: Math.round((height - size) / 4), size };
    this.#draw();
  }

  /** The square as the API wants it: pixels of the picture after its EXIF orientation. */
  value() {
    const { x, y, size } = this.square;
    return { x, y, width: size, height: size };
  }

  // Where the picture lies inside its element (object-fit: contain), in CSS pixels.
  #geometry() {
    const { naturalWidth, naturalHeight, clientWidth, clientHeight } = this.image;
    const scale = Math.min(clientWidth / naturalWidth, clientHeight / naturalHeight);
    return {
      scale,
      left: (clientWidth - naturalWidth * scale) / 2,
      top: (clientHeight - naturalHeight * scale) / 2,
    };
  }

  #set(x, y, size) {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const largest = Math.min(width, height);
    const fitting = Math.round(clamp(size, Math.min(SMALLEST, largest), largest));
    this.square = {
      x: Math.round(clamp(x, 0, width - fitting)),
      y: Math.round(clamp(y, 0, height - fitting)),
      size: fitting,
    };
    this.#draw();
  }

  #draw() {
    if (!this.image.naturalWidth) return;
    const { scale, left, top } = this.#geometry();
    const { x, y, size } = this.square;
    const style = this.frame.style;
    style.left = `${left + x * scale}px`;
    style.top = `${top + y * scale}px`;
    style.width = style.height = `${size * scale}px`;
  }

  #grab(event) {
    event.preventDefault();
    this.frame.focus();
    this.frame.setPointerCapture(event.pointerId);
    const resizing = event.target !== this.frame;
    const from = { ...this.square };
    const { scale } = this.#geometry();
    const move = (at) => {
      const dx = (at.clientX - event.clientX) / scale;
      const dy = (at.clientY - event.clientY) / scale;
      if (resizing) this.#resizeFromCorner(from, Math.max(dx, dy));
      else this.#set(from.x + dx, from.y + dy, from.size);
    };
    const drop = () => {
      this.frame.removeEventListener("pointermove", move);
      this.frame.removeEventListener("pointerup", drop);
      this.frame.removeEventListener("pointercancel", drop);
    };
    this.frame.addEventListener("pointermove", move);
    this.frame.addEventListener("pointerup", drop);
    this.frame.addEventListener("pointercancel", drop);
  }

  // The upper left corner stays where it is.
  #resizeFromCorner(from, by) {
    const { naturalWidth, naturalHeight } = this.image;
    const room = Math.min(naturalWidth - from.x, naturalHeight - from.y);
    this.#set(from.x, from.y, Math.min(from.size + by, room));
  }

  #key(event) {
    const step = Math.max(1, Math.round(this.square.size / (event.shiftKey ? 10 : 40)));
    const { x, y, size } = this.square;
    const moves = {
      ArrowLeft: [x - step, y, size],
      ArrowRight: [x + step, y, size],
      ArrowUp: [x, y - step, size],
      ArrowDown: [x, y + step, size],
      "+": [x - step / 2, y - step / 2, size + step],
      "=": [x - step / 2, y - step / 2, size + step],
      "-": [x + step / 2, y + step / 2, size - step],
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    this.#set(...move);
  }
}
