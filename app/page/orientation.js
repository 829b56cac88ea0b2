// Photographs as they are stored, and how they are drawn upright. Browsers apply the orientations that some kinds of
// files state and not those of others, so none is left to them: the service says which one holds.

// The places of a file's parts that can state an orientation, by its format. Others have decoders that turn the picture.
const STATING = { JPEG: ofJpeg, PNG: ofPng, WEBP: ofWebp };
const PNG_KINDS = ["eXIf", "tEXt", "zTXt", "iTXt"];
const APPLICATION_1 = 0xe1;
const START_OF_SCAN = 0xda;
// The axes of a stored picture in the upright one, for orientations 1 to 8 of Exif, as a canvas transforms.
const AXES = [[1, 0, 0, 1], [-1, 0, 0, 1], [-1, 0, 0, -1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0], [0, -1, -1, 0], [0, -1, 1, 0]];

/** The file without what states an orientation; null if there is nothing of that kind in it. */
export async function unstated(file, format) {
  if (!STATING[format]) return null;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const kept = [];
  let end = 0;
  for (const [from, to] of STATING[format](bytes, new DataView(bytes.buffer))) {
    kept.push(bytes.subarray(end, from));
    end = to;
  }
  if (end === 0) return null;
  const parts = new Uint8Array(await new Blob([...kept, bytes.subarray(end)]).arrayBuffer());
  if (format === "WEBP") new DataView(parts.buffer).setUint32(4, parts.length - 8, true);
  return new Blob([parts]);
}

/** The size of a stored picture when it is upright. */
export const uprightSize = ({ width, height }, orientation) =>
  orientation > 4 ? { width: height, height: width } : { width, height };

/** Draws a stored picture upright over the whole canvas of the pen. */
export function drawUpright(pen, stored, orientation) {
  const { width, height } = pen.canvas;
  const [a, b, c, d] = AXES[orientation - 1];
  const size = uprightSize(pen.canvas, orientation);
  pen.save();
  pen.setTransform(a, b, c, d, a + c < 0 ? width : 0, b + d < 0 ? height : 0);
  pen.drawImage(stored, 0, 0, size.width, size.height);
  pen.restore();
}

function* ofJpeg(bytes, view) {
  for (let at = 2; at + 4 <= bytes.length; ) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0 || marker === 0xff) {
      at += 1; // a stray byte
      continue;
    }
    if (marker === START_OF_SCAN) return;
    const end = at + 2 + view.getUint16(at + 2);
    if (marker === APPLICATION_1) yield [at, end];
    at = end;
  }
}

function* ofPng(bytes, view) {
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + view.getUint32(at);
    if (PNG_KINDS.includes(name(bytes, at + 4))) yield [at, end];
    at = end;
  }
}

function* ofWebp(bytes, view) {
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length + (length % 2);
    if (["EXIF", "XMP "].includes(name(bytes, at))) yield [at, end];
    at = end;
  }
}

const name = (bytes, at) => String.fromCharCode(...bytes.subarray(at, at + 4));
