// SPDX-License-Identifier: MIT
// read.mjs FILE...: what each file holds, as one JSON document: of a container file its instructions and what is wrong
// with it, of YAML its documents.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { DockerfileParser } from "dockerfile-ast";
import { validate } from "dockerfile-utils";
import { parseAllDocuments } from "yaml";

function containerFile(text) {
    const instructions = DockerfileParser.parse(text).getInstructions();
    return {
        problems: validate(text).map((one) => `line ${one.range.start.line + 1}: ${one.message}`),
        instructions: instructions.map((one) => [
            one.getKeyword(),
            one.getArgumentsContent() ?? "",
            Object.fromEntries((one.getFlags?.() ?? []).map((flag) => [flag.getName(), flag.getValue()])),
        ]),
    };
}

function yaml(text) {
    const documents = parseAllDocuments(text, { merge: true, uniqueKeys: true });
    return {
        problems: documents.flatMap((one) => [...one.errors, ...one.warnings].map((error) => error.message)),
        documents: documents.map((one) => one.toJS()),
    };
}

const read = {};
for (const path of process.argv.slice(2)) {
    const text = readFileSync(path, "utf8");
    read[path] = basename(path).startsWith("Dockerfile") ? containerFile(text) : yaml(text);
}
process.stdout.write(JSON.stringify(read));
