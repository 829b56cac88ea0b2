// @vladmandic/face-api on Node's own HTTP server: one process, WebAssembly with SIMD on one thread, as on every Node.
// node face_api_server.cjs NODE_MODULES PORT
const http = require("node:http");
const path = require("node:path");

const [modules, port] = process.argv.slice(2);
const load = (name) => require(path.join(path.resolve(modules), name));
const tf = load("@tensorflow/tfjs");
const wasm = load("@tensorflow/tfjs-backend-wasm");
const faceapi = load("@vladmandic/face-api/dist/face-api.node-wasm.js");
const sharp = load("sharp");

// The default of face-api's FaceMatcher.
const LARGEST_DISTANCE = 0.6;

async function describe(file) {
  const image = sharp(Buffer.from(await file.arrayBuffer())).removeAlpha().raw();
  const { data, info } = await image.toBuffer({ resolveWithObject: true });
  const pixels = tf.tensor3d(data, [info.height, info.width, 3], "int32");
  const face = await faceapi.detectSingleFace(pixels).withFaceLandmarks().withFaceDescriptor();
  pixels.dispose();
  return face?.descriptor;
}

async function verify(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const form = await new Response(Buffer.concat(parts), { headers: request.headers }).formData();
  const left = await describe(form.get("image1"));
  const right = await describe(form.get("image2"));
  if (!left || !right) return [422, { detail: "no face was found" }];
  const distance = faceapi.euclideanDistance(left, right);
  return [200, { similarity: -distance, decision: distance <= LARGEST_DISTANCE ? "same" : "different" }];
}

async function answer(request, response) {
  const [status, value] = await verify(request).catch((error) => [500, { detail: String(error) }]);
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": body.length }).end(body);
}

async function main() {
  wasm.setWasmPaths(path.join(path.resolve(modules), "@tensorflow/tfjs-backend-wasm/dist/"));
  await tf.setBackend("wasm");
  await tf.ready();
  const weights = path.join(path.resolve(modules), "@vladmandic/face-api/model");
  const { ssdMobilenetv1, faceLandmark68Net, faceRecognitionNet } = faceapi.nets;
  for (const net of [ssdMobilenetv1, faceLandmark68Net, faceRecognitionNet]) await net.loadFromDisk(weights);
  // A busy server may see a connection's next request only after Node's 5 s, and would then have closed it.
  http.createServer({ keepAliveTimeout: 600_000 }, answer).listen(Number(port), "127.0.0.1");
}

main();
