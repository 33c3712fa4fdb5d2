// SPDX-License-Identifier: MIT
// Is what arrived what Standard Webhooks' own library takes? One JSON object a line on standard input:
// {"secret", "headers", "body"}; one line back for each: "ok", or why not.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log("ok");
  } catch (error) {
    console.log(`${error.name}: ${error.message}`);
  }
}
