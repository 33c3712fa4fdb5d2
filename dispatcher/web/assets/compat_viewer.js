// SPDX-License-Identifier: MIT
//
// The picture in a frame, as one image that can be saved or shared: 600×600 with the picture at
// (93,113), 407×407. Where that cannot be drawn the page shows the picture alone, as it came.
const SIDE = 600;
const PLACE = { x: 93, y: 113, side: 407 };

function draw(picture) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d");
  context.fillStyle = "#f7f2ea";
  context.fillRect(0, 0, SIDE, SIDE);
  context.strokeStyle = "#2b2420";
  context.lineWidth = 6;
  context.strokeRect(PLACE.x - 3, PLACE.y - 3, PLACE.side + 6, PLACE.side + 6);
  context.strokeRect(PLACE.x - 18, PLACE.y - 18, PLACE.side + 36, PLACE.side + 36);
  context.drawImage(picture, PLACE.x, PLACE.y, PLACE.side, PLACE.side);
  return canvas;
}

const figure = document.querySelector("#frame");
const picture = figure.querySelector("img");
try {
  await picture.decode();
  const canvas = draw(picture);
  const framed = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  const image = new Image(SIDE, SIDE);
  image.alt = picture.alt;
  image.src = URL.createObjectURL(framed);
  await image.decode();
  picture.replaceWith(image);
  figure.dataset.framed = "true";
} catch {
  figure.dataset.framed = "false"; // the bare picture stays
}
