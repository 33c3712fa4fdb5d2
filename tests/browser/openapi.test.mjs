// SPDX-License-Identifier: MIT
// The description of the API under a linter; no browser is needed for that.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createConfig, lintFromString } from "@redocly/openapi-core";

const server = process.env.DARKROOM_SERVER;

test("the_description_of_the_api_has_no_errors", async () => {
  const source = await (await fetch(`${server}/openapi.json`)).text();
  const config = await createConfig({ extends: ["recommended"] });
  const found = await lintFromString({ source, absoluteRef: "openapi.json", config });
  const errors = found.filter((one) => one.severity === "error");
  assert.deepEqual(errors.map((one) => `${one.ruleId} ${one.location[0]?.pointer}: ${one.message}`), []);
});

test("the_linter_finds_what_is_wrong", async () => {
  const document = await (await fetch(`${server}/openapi.json`)).json();
  document.paths["/v1/jobs"].get.parameters.push({ $ref: "#/components/parameters/Missing" });
  const config = await createConfig({ extends: ["recommended"] });
  const found = await lintFromString({ source: JSON.stringify(document), absoluteRef: "openapi.json", config });
  assert.ok(found.some((one) => one.severity === "error"));
});
