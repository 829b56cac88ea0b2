// One side of the comparison: where photographs of one person are put, and what was found in each of them.

import { hasCamera, takePhotograph } from "./camera.js";
import { detect, explain } from "./client.js";
import { find, list, make, picture } from "./elements.js";
import { drawUpright, unstated, uprightSize } from "./orientation.js";

const MOST_PX = 720;
const TYPES = "image/jpeg,image/png,image/webp,image/avif,image/heic,image/heif,.jfif,.avif,.heic,.heif,.hif";

/** A photograph and its card. `chosen` is the number of the face that is compared, `picked` whether a person chose it. */
class Photo {
  constructor(file, name, remove, changed) {
    this.file = file;
    this.name = name;
    this.faces = [];
    this.chosen = 0;
    this.picked = false;
    this.orientation = 1; // of the bitmap, to be applied
    this.straight = false; // whether the service has said it
    this.changed = changed;
    this.leaving = new AbortController();
    this.canvas = make("canvas", { role: "img", "aria-label": name, width: 320, height: 240 });
    this.canvas.onclick = (event) => this.chooseAt(event);
    this.found = make("p", { className: "found", role: "status" }, "Looking for faces…");
    this.choice = make("div");
    this.crop = make("figure", { className: "crop", hidden: true });
    this.notes = make("div", { className: "notes", role: "alert" });
    const button = make("button", { type: "button", className: "remove", onclick: remove }, "Remove");
    button.setAttribute("aria-label", `Remove ${name}`);
    this.card = make("li", { className: "photo" }, this.canvas, this.found, this.choice, this.crop, this.notes, button);
  }

  async show() {
    try {
      this.bitmap = await createImageBitmap(this.file);
      this.draw();
    } catch {
      this.drawPlaceholder({ width: 320, height: 240 }); // the service may be able to read it all the same
    }
    await this.search();
  }

  async search() {
    this.found.textContent = "Looking for faces…";
    try {
      const [image] = (await detect(this.file, this.leaving.signal)).images;
      await this.straighten(image);
      this.describe(image);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.found.textContent = error.code === "whole_pictures" ? "This model compares whole pictures." : "";
      if (error.code !== "whole_pictures") this.refuse(error);
    }
  }

  /** Replaces the picture that this browser has turned, or not, by what the service says of its orientation. */
  async straighten({ format, orientation }) {
    if (!this.bitmap || this.straight) return;
    this.straight = true;
    try {
      const file = await unstated(this.file, format);
      if (file === null) return;
      this.bitmap = await createImageBitmap(file);
      this.orientation = orientation;
    } catch {
      // The picture stays as the browser drew it.
    }
  }

  describe(image) {
    this.image = image;
    this.faces = image.faces;
    const count = this.faces.length;
    if (count === 0) this.refuse({ message: "No face was found; take a picture in which it is upright, uncovered and larger" });
    this.found.textContent = count === 0 ? "" : count === 1 ? "1 face found" : `${count} faces found. Compare:`;
    this.choice.replaceChildren(count > 1 ? this.chooser() : "");
    this.warn();
    this.draw();
    this.showCrop();
  }

  chooser() {
    const group = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
    const radios = this.faces.map((face) => {
      const input = make("input", { type: "radio", name: group, checked: face.index === this.chosen });
      input.onchange = () => this.choose(face.index);
      return make("label", {}, input, `face ${face.index + 1}${face.index === 0 ? " (largest)" : ""}`);
    });
    const legend = make("legend", { className: "unseen" }, `Which face of ${this.name}`);
    return make("fieldset", {}, legend, ...radios);
  }

  /** Marks a face; a person's choice also takes the answer away. */
  choose(index, changed = true) {
    this.chosen = index;
    this.picked = changed;
    this.choice.querySelectorAll("input").forEach((input, each) => (input.checked = each === index));
    this.warn();
    this.draw();
    this.showCrop();
    if (changed) this.changed();
  }

  chooseAt(event) {
    if (this.faces.length < 2) return;
    const shown = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - shown.left) / shown.width) * this.image.width;
    const y = ((event.clientY - shown.top) / shown.height) * this.image.height;
    const hit = this.faces.find(
      ({ box }) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height,
    );
    if (hit) this.choose(hit.index);
  }

  /** Warnings of the picture and the face that is compared; each says itself what to do. */
  warn(image = this.image) {
    if (!image) return;
    const face = image.face ?? this.faces[this.chosen];
    const sentences = [...new Set([...(face?.warnings ?? []), ...image.warnings])];
    if (sentences.length) this.notes.replaceChildren(list(sentences, "warnings"));
    else if (this.faces.length) this.notes.replaceChildren();
  }

  /** What /verify found in the picture: its largest face, which among small ones may not be face 1. */
  report(image) {
    if (image.face && this.faces.length) {
      const { index } = closest(this.faces, image.face);
      this.faces[index] = { ...this.faces[index], ...image.face, index };
      if (index !== this.chosen) this.choose(index, false);
    }
    this.warn(image);
    this.straighten(image).then(() => this.draw());
  }

  /** The chosen face, straightened. */
  showCrop() {
    const data = this.faces[this.chosen]?.crop;
    this.crop.hidden = !data;
    if (!data) return;
    const caption = make("figcaption", {}, "What the network sees");
    this.crop.replaceChildren(picture(data, `Straightened face of ${this.name}`), caption);
  }

  refuse(error) {
    this.notes.replaceChildren(make("p", { className: "problem" }, explain(error)));
  }

  draw() {
    const size = this.bitmap ? uprightSize(this.bitmap, this.orientation) : this.image;
    if (!size) return;
    const pen = this.bitmap ? this.size(size) : this.drawPlaceholder(size);
    if (this.bitmap) drawUpright(pen, this.bitmap, this.orientation);
    const which = this.faces.length > 1 ? `, face ${this.chosen + 1}` : "";
    this.canvas.setAttribute("aria-label", `${this.name}${which}${this.bitmap ? "" : " (no preview)"}`);
    for (const face of this.faces) drawFace(pen, face, this);
  }

  size({ width, height }) {
    const scale = Math.min(2, MOST_PX / width, MOST_PX / height);
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    return this.canvas.getContext("2d");
  }

  /** For a picture that this browser cannot show, such as HEIC. */
  drawPlaceholder(size) {
    const pen = this.size(size);
    const { width, height } = this.canvas;
    pen.fillStyle = "#555";
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = "#fff";
    pen.textAlign = "center";
    pen.font = `${Math.max(12, Math.round(width / 24))}px sans-serif`;
    pen.fillText("This browser cannot show the picture", width / 2, height - height / 16);
    pen.textAlign = "start";
    return pen;
  }
}

function drawFace(pen, face, { image, chosen, faces, canvas }) {
  const scale = canvas.width / image.width;
  const taken = face.index === chosen;
  const { x, y, width, height } = face.box;
  // A dark line below a light one is seen on any picture.
  for (const [colour, line] of [["#000c", 5], [taken ? "#ffd54a" : "#fffb", taken ? 3 : 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.setLineDash(taken ? [] : [8, 6]);
    pen.strokeRect(x * scale, y * scale, width * scale, height * scale);
  }
  pen.setLineDash([]);
  if (taken) {
    for (const [left, top] of Object.values(face.landmarks)) {
      pen.beginPath();
      pen.arc(left * scale, top * scale, 3.5, 0, 2 * Math.PI);
      pen.fillStyle = "#ffd54a";
      pen.strokeStyle = "#000";
      pen.lineWidth = 1.5;
      pen.fill();
      pen.stroke();
    }
  }
  if (faces.length > 1) {
    pen.font = "bold 16px sans-serif";
    pen.fillStyle = "#000c";
    pen.fillRect(x * scale, y * scale, 22, 22);
    pen.fillStyle = taken ? "#ffd54a" : "#fff";
    pen.fillText(String(face.index + 1), x * scale + 6, y * scale + 17);
  }
}

/** The section of one person. `changed` is called whenever its photographs or faces are others. */
export class Side {
  constructor(section, changed) {
    this.section = section;
    this.changed = changed;
    this.name = find("h2", section).textContent;
    this.photos = [];
    this.list = make("ul", { className: "photos" });
    const input = make("input", { type: "file", accept: TYPES, multiple: true, className: "unseen" });
    input.onchange = () => {
      this.add(input.files);
      input.value = "";
    };
    const words = make("span", {}, make("strong", {}, "Choose a photograph"), ", drop it here or paste it");
    const camera = make("button", { type: "button", className: "use-camera", hidden: !hasCamera() }, "Use the camera");
    camera.setAttribute("aria-label", `Use the camera: ${this.name.toLowerCase()}`);
    camera.onclick = async () => {
      const file = await takePhotograph();
      if (file) this.add([file]);
    };
    const label = make("label", { className: "pick" }, input, make("span", { className: "unseen" }, `${this.name}: `), words);
    section.append(make("div", { className: "drop" }, label, camera), this.list);
    section.addEventListener("dragover", (event) => section.classList.toggle("over", holdsFiles(event)));
    section.addEventListener("dragleave", () => section.classList.remove("over"));
    section.addEventListener("drop", (event) => {
      section.classList.remove("over");
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    for (const file of files) {
      const name = `${this.name.toLowerCase()}'s photograph: ${file.name}`;
      const photo = new Photo(file, name, () => this.remove(photo), this.changed);
      this.photos.push(photo);
      this.list.append(photo.card);
      photo.show();
    }
    if (files.length) this.changed();
  }

  clear() {
    for (const photo of [...this.photos]) this.drop(photo);
  }

  remove(photo) {
    this.drop(photo);
    find("input", this.section).focus();
    this.changed();
  }

  drop(photo) {
    photo.leaving.abort();
    this.photos.splice(this.photos.indexOf(photo), 1);
    photo.card.remove();
  }
}

/** The face whose box has its middle nearest to another's. */
function closest(faces, { box }) {
  const middle = (each) => [each.x + each.width / 2, each.y + each.height / 2];
  const [x, y] = middle(box);
  const apart = (face) => Math.hypot(middle(face.box)[0] - x, middle(face.box)[1] - y);
  return faces.reduce((best, face) => (apart(face) < apart(best) ? face : best));
}

const holdsFiles = (event) => [...event.dataTransfer.types].includes("Files");
