// SPDX-License-Identifier: MIT
// kubernetes.mjs: what is wrong with each manifest of a JSON list on standard input, by the schemas of kubernetes-models
// and of the definitions that KEDA and the Prometheus operator bring.
import { readFileSync } from "node:fs";

const packages = { "keda.sh": "@kubernetes-models/keda", "monitoring.coreos.com": "@kubernetes-models/prometheus-operator" };
const problems = [];
for (const manifest of JSON.parse(readFileSync(0, "utf8"))) {
    const name = `${manifest.kind} ${manifest.metadata?.name}`;
    try {
        const group = manifest.apiVersion.split("/")[0];
        const kinds = await import(`${packages[group] ?? "kubernetes-models"}/${manifest.apiVersion}`);
        new kinds[manifest.kind](manifest).validate();
    } catch (error) {
        problems.push(`${name}: ${error.message}`);
    }
}
process.stdout.write(JSON.stringify(problems));
