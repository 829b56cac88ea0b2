// The page as a whole: two sides, how strict to be, the question and its answer.

import { digits, ratio, showAnswer } from "./answer.js";
import { compareChosen, explain, info, useKey, verify } from "./client.js";
import { find, make } from "./elements.js";
import { explanation } from "./explanation.js";
import { Side } from "./photos.js";

const strictness = find("#strictness");
const button = find("#compare");
const status = find("#status");
const section = find("#answer");
const keyForm = find("#key");
let model = null;
let running = new AbortController();

const sides = [1, 2].map((number) => new Side(find(`#side${number}`), forget));
find("#host").textContent = location.host;

/** What was answered was about other photographs: it goes, and a question in progress is given up. */
function forget() {
  running.abort();
  section.hidden = true;
  const missing = sides.filter((side) => side.photos.length === 0).map((side) => side.name.toLowerCase());
  button.disabled = missing.length > 0 || !model;
  status.textContent = missing.length ? `Still missing: a photograph of the ${missing.join(" and the ")}.` : "";
}

async function ask(event) {
  event.preventDefault();
  running.abort();
  running = new AbortController();
  const { signal } = running;
  section.hidden = true;
  status.textContent = "Comparing…";
  const photos = sides.map((side) => side.photos);
  for (const photo of photos.flat()) photo.warn(); // instead of the last error
  const maxFmr = strictness.value || null;
  const compare = photos.flat().some((photo) => photo.picked) ? compareChosen : verify;
  try {
    const { answer, commands } = await compare(photos, maxFmr, signal);
    const shown = photos.flat();
    answer.images?.forEach((image, index) => shown[index].report(image));
    status.textContent = "";
    showAnswer(section, answer, model, commands);
    const single = photos.every((side) => side.length === 1) && shown.every((photo) => photo.faces.length);
    if (single) find("details", section).before(explanation(shown, signal));
  } catch (error) {
    if (error.name === "AbortError") return;
    const photo = error.code === "too_many_images" ? null : photoOf(error.field);
    if (photo) photo.refuse(error);
    status.textContent = photo ? `No answer: see ${photo.name}.` : `No answer. ${explain(error)}`;
  }
}

/** The photograph that an error names: image1, or image1[0] where a side has several. */
function photoOf(field) {
  const [, side, index] = /^image([12])(?:\[(\d+)\])?$/.exec(field ?? "") ?? [];
  return side && sides[side - 1].photos[index ?? 0];
}

/** Shows the form for a key; `wrong` says that one was sent. */
function askForKey({ detail: wrong }) {
  model = null;
  button.disabled = true;
  keyForm.hidden = false;
  find(".problem", keyForm).textContent = wrong ? "The service does not know this key. Try another." : "";
  find("input", keyForm).focus();
}

function takeKey(event) {
  event.preventDefault();
  const input = find("input", keyForm);
  useKey(input.value);
  input.value = "";
  keyForm.hidden = true;
  start();
}

/** Puts a drawn head on each side, in place of what is there. */
async function showExample(names) {
  const heads = await Promise.all(names.map(async (name) => (await fetch(`page/${name}`)).blob()));
  heads.forEach((head, side) => {
    sides[side].clear();
    sides[side].add([new File([head], names[side], { type: "image/webp" })]);
  });
}

async function start() {
  try {
    model = await info();
  } catch (error) {
    status.textContent = error.code === "unauthorized" ? "" : explain(error);
    return;
  }
  for (const photo of sides.flatMap((side) => side.photos)) photo.search(); // those that came before the key
  const options = model.operating_points.map((point) => {
    const text = `${ratio(point.max_fmr)} pairs of strangers`;
    return make("option", { value: point.max_fmr, selected: point.max_fmr === 0.01 }, text);
  });
  const usual = make("option", { value: "" }, `as many as reach ${digits(model.threshold.value)}`);
  strictness.replaceChildren(...options, usual);
  forget();
}

/** Pasted pictures go to the side in which the focus is, else to the first that has none. */
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
  if (!files.length) return;
  const focused = sides.find((side) => side.section.contains(document.activeElement));
  (focused ?? sides.find((side) => side.photos.length === 0) ?? sides[1]).add(files);
});
// A file that is dropped beside a side must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
strictness.addEventListener("change", forget);
find("#ask").addEventListener("submit", ask);
find("#example-same").addEventListener("click", () => showExample(["head-1.webp", "head-1-again.webp"]));
find("#example-different").addEventListener("click", () => showExample(["head-1.webp", "head-2.webp"]));
keyForm.addEventListener("submit", takeKey);
document.addEventListener("keyneeded", askForKey);
forget();
start();
