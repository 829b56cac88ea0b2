// Which parts of two faces speak for one person and which against: each was blurred, and the pair compared again.

import { explain, explainPair } from "./client.js";
import { make, picture } from "./elements.js";

const FOR = [40, 120, 255];
const AGAINST = [255, 120, 0];
const MOST_OPAQUE = 170;
// In log odds. Parts that change less than this stay pale, however little the others change.
const FAINT = 0.5;
const LEGEND = "Blue parts make the two more alike, orange ones less.";
const CAUTION = "It shows what this network reacts to, not why people look alike, and it can be wrong.";

/** A button, and what it shows: for one photograph of each side. */
export function explanation(photos, signal) {
  const button = make("button", { type: "button" }, "Show which parts speak for and against");
  const status = make("p", { role: "status" });
  const shown = make("div", { className: "explained", tabIndex: -1, role: "group", "aria-label": "Explanation" });
  button.onclick = async () => {
    button.disabled = true;
    status.textContent = "Comparing again, each time with a part blurred…";
    try {
      const { images } = await explainPair(photos, signal);
      const strongest = Math.max(FAINT, ...images.flatMap((image) => image.influence.flat().map(Math.abs)));
      const figures = images.map((image, index) => figure(image, strongest, photos[index]));
      shown.replaceChildren(...figures, make("p", { className: "caution" }, `${LEGEND} ${CAUTION}`));
      status.textContent = "";
      shown.focus();
      button.remove();
    } catch (error) {
      if (error.name === "AbortError") return;
      status.textContent = explain(error);
      button.disabled = false;
    }
  };
  return make("div", { id: "explanation" }, button, status, shown);
}

function figure({ crop, influence }, strongest, photo) {
  const words = inWords(influence, strongest);
  const overlay = make("canvas", { width: influence.length, height: influence.length, "aria-hidden": "true" });
  const cells = influence.flat().flatMap((value) => {
    const opacity = Math.round((MOST_OPAQUE * Math.abs(value)) / strongest);
    return [...(value > 0 ? FOR : AGAINST), opacity];
  });
  // A pixel a part: the browser smooths it when it enlarges it.
  overlay.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(cells), influence.length), 0, 0);
  const layers = make("div", { className: "layers" }, picture(crop, `${photo.name}, as the network sees it`), overlay);
  return make("figure", {}, layers, make("figcaption", {}, words));
}

/** Which ninths of the picture speak most for and against. */
function inWords(influence, strongest) {
  const sums = new Map();
  influence.forEach((row, y) => row.forEach((value, x) => {
    const where = place(x, y, influence.length);
    sums.set(where, (sums.get(where) ?? 0) + value);
  }));
  const ranked = [...sums].sort(([, one], [, other]) => other - one);
  const [most, least] = [ranked[0], ranked.at(-1)];
  const found = [
    most[1] > 0.1 * strongest ? `most for one person: ${most[0]}` : null,
    least[1] < -0.1 * strongest ? `most against: ${least[0]}` : null,
  ].filter(Boolean);
  return found.join("; ") || "no part matters much";
}

function place(x, y, length) {
  const third = (at) => Math.floor((3 * at) / length);
  const row = ["upper", "middle", "lower"][third(y)];
  const column = ["left", "middle", "right"][third(x)];
  return row === column ? row : `${row} ${column}`;
}
