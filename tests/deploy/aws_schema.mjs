// SPDX-License-Identifier: MIT
// aws_schema.mjs FOLDER TYPE...: what Terraform's provider for AWS knows of these resources ("data.aws_ami" for data), as
// aws_schema.json has it, from an unpacked @cdktf/provider-aws (390 MB, which is why its outcome is kept):
//
//     npm pack @cdktf/provider-aws@21.22.1 && tar -xzf cdktf-provider-aws-21.22.1.tgz
//     node aws_schema.mjs package $(node -p 'Object.keys(require("./aws_schema.json").types).join(" ")') > aws_schema.json
//
// Of each: its arguments with their types, "!" behind what is required, a block with its own; and what can be read of it.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, ...types] = process.argv.slice(2);

function interfaces(text) {
    const found = {};
    for (const [, name, body] of text.matchAll(/^export interface (\w+)[^{]*\{\n(.*?)^\}/gms)) {
        found[name] = [...body.matchAll(/#(\w+) [\w#]+\}(?:(?!readonly)[\s\S])*?readonly \w+(\??): ([^;]+(?:;[^;\n]*\})?);/g)]
            .map(([, attribute, optional, type]) => ({ attribute, required: !optional, type }));
    }
    return found;
}

function argumentsOf(all, name) {
    const known = {};
    for (const { attribute, required, type } of all[name]) {
        const block = Object.keys(all).find((one) => new RegExp(`^${one}(\\[\\])?( \\| cdktf\\.IResolvable)?$`).test(type));
        const plain = type.startsWith("{") ? "map" : type.replaceAll(/cdktf\.IResolvable|[ |]/g, "");
        const kind = { boolean: "bool", "string[]": "list", "number[]": "list" }[plain] ?? plain;
        known[attribute] = block ? { block: argumentsOf(all, block), required } : kind + (required ? "!" : "");
    }
    return known;
}

const schema = { source: "", types: {} };
schema.source = `@cdktf/provider-aws ${JSON.parse(readFileSync(join(folder, "package.json"))).version}`;
for (const type of types.sort()) {
    const path = type.replace("data.", "data-").replaceAll("_", "-").replace(/^aws-/, "");
    const text = readFileSync(join(folder, "lib", path, "index.d.ts"), "utf8");
    const all = interfaces(text);
    const config = text.match(/export interface (\w+) extends cdktf\.TerraformMetaArguments/)[1];
    const [, body] = text.match(/export declare class \w+ extends cdktf\.Terraform(?:Resource|DataSource) \{\n(.*?)^\}/ms);
    const read = [...body.matchAll(/^    get (\w+)\(\)/gm)]
        .map(([, name]) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
        .filter((name) => !name.endsWith("_input"));
    schema.types[type] = { arguments: argumentsOf(all, config), read: read.sort() };
}
process.stdout.write(`${JSON.stringify(schema, null, 1)}\n`);
