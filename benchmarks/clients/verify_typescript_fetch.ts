// Verifies a pair by the client that openapi-generator's `typescript-fetch` generated: URL FIRST SECOND.

import { readFileSync } from "node:fs";
import { Configuration, ImagesApi } from "./generated/index.js";

const [url, ...files] = process.argv.slice(2);
const [first, second] = files.map((path) => readFileSync(path).toString("base64"));
const answer = await new ImagesApi(new Configuration({ basePath: url })).verify({
  verifyRequest: { image1: [first], image2: [second], maxFmr: 0.01 },
});
console.log(`${answer.decision} ${answer.similarity.toFixed(6)}`);
