// Verifies a pair by openapi-fetch with the types that openapi-typescript generated: URL FIRST SECOND.

import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { paths } from "./generated.js";

const [url, ...files] = process.argv.slice(2);
const [first, second] = files.map((path) => readFileSync(path).toString("base64"));
const { data, error } = await createClient<paths>({ baseUrl: url }).POST("/v1/verify", {
  body: { image1: [first], image2: [second], max_fmr: 0.01 },
});
if (!data) throw new Error(JSON.stringify(error));
console.log(`${data.decision} ${data.similarity.toFixed(6)}`);
