// A dialog that takes one photograph with the camera. Browsers allow that on https and on this machine only.

import { find } from "./elements.js";

export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

/** The photograph as a file, or null if the dialog was closed. */
export function takePhotograph() {
  const dialog = find("#camera");
  const video = find("video", dialog);
  const take = find(".take", dialog);
  const problem = find(".problem", dialog);
  let stream = null;
  let file = null;
  problem.textContent = "";
  take.disabled = true;
  dialog.showModal();
  const asked = navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
  asked.then(
    async (opened) => {
      stream = opened;
      if (!dialog.open) return end();
      video.srcObject = stream;
      await video.play();
      take.disabled = false;
      take.focus();
    },
    () => {
      problem.textContent = "The camera cannot be used: allow it in the browser, or choose a file.";
    },
  );
  const end = () => stream?.getTracks().forEach((track) => track.stop());
  return new Promise((resolve) => {
    take.onclick = async () => {
      file = await photograph(video);
      dialog.close();
    };
    find(".close", dialog).onclick = () => dialog.close();
    dialog.onclose = () => {
      end();
      video.srcObject = null;
      resolve(file);
    };
  });
}

async function photograph(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  return new File([blob], "camera.jpg", { type: "image/jpeg" });
}
