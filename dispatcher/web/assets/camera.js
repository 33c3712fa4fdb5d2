// SPDX-License-Identifier: MIT
// A picture from the camera: the telephone's own camera program where there is one, else a viewfinder of ours.
//
//     offerCamera(button, capture, dialog, { onPicture: (file) => …, onDenied: () => … });

const isTelephone = () => matchMedia("(pointer: coarse)").matches;

async function shoot(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => {
    canvas.toBlob(resolve, "image/jpeg", 0.95);
  });
  return new File([blob], "camera.jpg", { type: "image/jpeg" });
}

export function offerCamera(button, capture, dialog, { onPicture, onDenied }) {
  const video = dialog.querySelector("video");
  const [shutter, close] = dialog.querySelectorAll("button");
  let stream = null;

  const stop = () => {
    for (const track of stream?.getTracks() || []) track.stop();
    stream = video.srcObject = null;
  };

  button.addEventListener("click", async () => {
    if (isTelephone() || !navigator.mediaDevices?.getUserMedia) {
      capture.click();
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "user", width: { ideal: 1920 }, height: { ideal: 1080 } },
      });
    } catch {
      onDenied();
      return;
    }
    video.srcObject = stream;
    shutter.disabled = true;
    dialog.showModal();
  });
  video.addEventListener("loadeddata", () => {
    shutter.disabled = false;
  });
  shutter.addEventListener("click", async () => {
    const file = await shoot(video);
    dialog.close();
    onPicture(file);
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
  capture.addEventListener("change", () => {
    if (capture.files[0]) onPicture(capture.files[0]);
    capture.value = "";
  });
}
