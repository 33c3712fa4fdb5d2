// SPDX-License-Identifier: MIT
// kubernetes.mjs: what is wrong with each manifest of a JSON list on standard input, by the schemas of kubernetes-models.
import { readFileSync } from "node:fs";

const problems = [];
for (const manifest of JSON.parse(readFileSync(0, "utf8"))) {
    const name = `${manifest.kind} ${manifest.metadata?.name}`;
    try {
        const kinds = await import(`kubernetes-models/${manifest.apiVersion}`);
        new kinds[manifest.kind](manifest).validate();
    } catch (error) {
        problems.push(`${name}: ${error.message}`);
    }
}
process.stdout.write(JSON.stringify(problems));
