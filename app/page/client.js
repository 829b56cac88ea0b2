// Calls of the HTTP API, and the same calls as a person would write them with curl.

/** An error of the service: its code, the part that it is about, and what it says. */
export class Refusal extends Error {
  constructor(problem) {
    super(problem.detail);
    Object.assign(this, problem);
  }
}

/** What the service says of an error; its `detail` says what to do, too. */
export const explain = (error) => `${error.title ? `${error.title}: ` : ""}${error.message}.`;

// The API key, if the service needs one: in this variable alone, and gone with the page.
let apiKey = null;

export function useKey(key) {
  apiKey = key;
}

async function call(path, options = {}, signal) {
  const headers = { ...options.headers, ...(apiKey && { Authorization: `Bearer ${apiKey}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal({ detail: "the service did not answer; see whether it still runs, and try again" });
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    throw new Refusal({ detail: `the service answered ${response.status} without saying why; try again` });
  }
  if (response.status === 401) document.dispatchEvent(new CustomEvent("keyneeded", { detail: apiKey !== null }));
  if (!response.ok) throw new Refusal(body);
  return body;
}

function form(parts) {
  const data = new FormData();
  for (const [name, value] of parts) data.append(name, value);
  return { method: "POST", body: data };
}

export const info = () => call("v1/info");
export const detect = (file, signal) => call("v1/detect", form([["image", file], ["crops", "png"]]), signal);

/** Compares the chosen faces of two photographs again and again, each time with a part of one blurred. */
export const explainPair = (photos, signal) =>
  call("v1/explain", form(photos.flatMap(({ file, chosen }, side) => [
    [`image${side + 1}`, file], [`face${side + 1}`, chosen],
  ])), signal);

/** Compares the largest faces of two lists of photographs in one call. */
export async function verify(sides, maxFmr, signal) {
  const parts = sides.flatMap((photos, side) => photos.map((photo) => [`image${side + 1}`, photo.file]));
  if (maxFmr !== null) parts.push(["max_fmr", maxFmr]);
  const answer = await call("v1/verify", form(parts), signal);
  return { answer, commands: [curl("v1/verify", parts)] };
}

/** Compares the chosen faces of two lists of photographs: all faces are embedded, and the chosen ones compared. */
export async function compareChosen(sides, maxFmr, signal) {
  const body = {};
  const commands = [];
  for (const [side, photos] of sides.entries()) {
    const parts = [...photos.map((photo) => ["image", photo.file]), ["face", "all"], ["encoding_format", "base64"]];
    const found = await call("v1/embed", form(parts), signal).catch((error) => {
      // /embed counts the pictures of one side; here they are called as /verify calls them.
      if (error.field) error.field = error.field.replace("image", `image${side + 1}`);
      throw error;
    });
    const chosen = photos.map((photo, image) => {
      const data = found.data.find((each) => each.image === image && each.face === photo.chosen);
      if (data) return data;
      const field = `image${side + 1}[${image}]`;
      throw new Refusal({ code: "face_too_small", field, detail: "the chosen face is too small to be told apart; choose another, or a larger picture" });
    });
    body[`embedding${side + 1}`] = chosen.map((data) => data.embedding);
    if (chosen.every((data) => data.conditions)) {
      body[`conditions${side + 1}`] = chosen.map((data) => data.conditions);
    }
    body.embedding_sha256 = found.model.embedding_sha256;
    commands.push(curl("v1/embed", parts));
  }
  if (maxFmr !== null) body.max_fmr = Number(maxFmr);
  const headers = { "Content-Type": "application/json" };
  const answer = await call("v1/compare", { method: "POST", headers, body: JSON.stringify(body) }, signal);
  commands.push(`# pair.json has the embeddings of the chosen faces\ncurl${authorization()} -H 'Content-Type: application/json' \\
  -d @pair.json ${new URL("v1/compare", document.baseURI)}`);
  return { answer, commands };
}

const authorization = () => (apiKey === null ? "" : ` -H "Authorization: Bearer $KEY" \\\n `);

function curl(path, parts) {
  const options = parts.map(([name, value]) => ` -F ${quote(name, value)}`);
  return `curl${authorization()}${options.join(" \\\n ")} \\\n  ${new URL(path, document.baseURI)}`;
}

/** A part as an argument of curl -F in a shell. */
function quote(name, value) {
  if (!(value instanceof File)) return `${name}=${value}`;
  if (/^[\w.-]+$/.test(value.name)) return `${name}=@${value.name}`;
  const file = value.name.replace(/[\\"]/g, "\\$&");
  return `'${`${name}=@"${file}"`.replaceAll("'", "'\\''")}'`;
}
