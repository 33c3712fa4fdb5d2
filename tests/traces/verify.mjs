// SPDX-License-Identifier: MIT
// Is what arrived a request of OTLP, as OpenTelemetry's own definitions (compiled from its .proto files) read it? One
// body a line on standard input; one line back for each: "ok", or why not.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

const require = createRequire(import.meta.url);
const { opentelemetry } = require("@opentelemetry/otlp-transformer/build/src/generated/root.js");
const Request = opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
const IDS = { traceId: 32, spanId: 16, parentSpanId: 16 };

// OTLP's JSON differs from protobuf's in one thing: ids are hex, not base64.
function withBytes(value, key) {
  if (key in IDS) {
    if (typeof value !== "string" || !/^[0-9a-f]*$/.test(value) || value.length !== IDS[key] || /^0*$/.test(value)) {
      throw new Error(`${key} is ${JSON.stringify(value)}`);
    }
    return Buffer.from(value, "hex").toString("base64");
  }
  if (Array.isArray(value)) return value.map((item) => withBytes(item));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withBytes(item, name)]));
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const body = withBytes(JSON.parse(line));
    const message = Request.fromObject(body);
    const wrong = Request.verify(message);
    if (wrong) throw new Error(wrong);
    // What it does not know, or reads as something else, does not come back.
    const back = Request.toObject(Request.decode(Request.encode(message).finish()), { longs: String, enums: Number, bytes: String });
    if (!isDeepStrictEqual(JSON.parse(JSON.stringify(back)), body)) {
      throw new Error(`read as ${JSON.stringify(back)}, not ${JSON.stringify(body)}`);
    }
    console.log("ok");
  } catch (error) {
    console.log(`${error.name}: ${error.message}`);
  }
}
