// SPDX-License-Identifier: MIT
// ort.mjs MODEL.onnx IN OUT SIZE THREADS RUNS: ONNX Runtime's CPU provider, timed; one line of JSON.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const started = performance.now();
const [model, input, output, size, threads, runs] = process.argv.slice(2);
const require = createRequire(path.join(process.env.ORT_MODULES ?? process.cwd(), "x.js"));
const ort = require("onnxruntime-node");

const session = await ort.InferenceSession.create(model, {
  executionProviders: ["cpu"],
  graphOptimizationLevel: "all",
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
});
const bytes = fs.readFileSync(input);
const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const feeds = { input: new ort.Tensor("float32", values, [1, 3, Number(size), Number(size)]) };

let result = await session.run(feeds);
const first = performance.now() - started;
await session.run(feeds);
const times = [];
for (let i = 0; i < Number(runs); i++) {
  const begin = performance.now();
  result = await session.run(feeds);
  times.push(performance.now() - begin);
}
times.sort((a, b) => a - b);
const y = result.output.data;
fs.writeFileSync(output, Buffer.from(y.buffer, y.byteOffset, y.byteLength));
console.log(JSON.stringify({
  best_ms: +times[0].toFixed(1),
  median_ms: +times[times.length >> 1].toFixed(1),
  start_to_first_ms: +first.toFixed(1),
  rss_mb: Math.round(process.resourceUsage().maxRSS / 1024),
}));
