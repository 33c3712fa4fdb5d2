# SPDX-License-Identifier: MIT
"""Holds what a dispatcher answers against its own description, /openapi.json.

    Description.of_build(BUILD).check("GET", "/v1/jobs/006f…", response)

Every request of a Lab goes through here, so that all integration tests prove the document: an
answer whose status, type or members it does not tell is a failure. Members that it does not know
are one, too, although clients are to pass over them. Without python3-jsonschema nothing is checked.
"""
import copy
import functools
import json
import re
import subprocess

try:
    import jsonschema
except ImportError:
    jsonschema = None

# Ten thousand jobs in one answer are of one kind, and checking them takes longer than making them.
MAX_BODY = 200_000


def strict(schema):
    """The same, with no members but those that it names."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(item) for name, item in schema.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


class Description:
    def __init__(self, document):
        self.document = copy.deepcopy(document)
        self.document["components"]["schemas"] = strict(document["components"]["schemas"])
        self.resolver = jsonschema.RefResolver("", self.document)
        self.paths = [(re.compile(re.sub(r"\{key\}", ".+", re.sub(r"\{(?!key)\w+\}", "[^/]+", path))), operations)
                      for path, operations in document["paths"].items()]
        # What stands there word for word comes first: /v1/jobs/states is no job.
        self.paths.sort(key=lambda item: "[^/]+" in item[0].pattern)

    @staticmethod
    @functools.lru_cache
    def of_build(build):
        """None where it cannot be had, or not be checked."""
        program = build / "tests" / "integration" / "describe"
        if not jsonschema or not program.exists():
            return None
        return Description(json.loads(subprocess.run([program], capture_output=True, check=True).stdout))

    def operation(self, method, path):
        method = "get" if method == "HEAD" else method.lower()
        for pattern, operations in self.paths:
            if pattern.fullmatch(path) and method in operations:
                return operations[method]
        return None

    def resolve(self, item):
        return self.resolver.resolve(item["$ref"])[1] if "$ref" in item else item

    def check(self, method, target, response):
        path = target.split("?", 1)[0]
        operation = self.operation(method, path)
        if not operation:
            return
        told = operation["responses"]
        fallback = told.get("default") if response.status >= 400 else None
        answer = told.get(str(response.status), fallback)
        where = f"{method} {path} → {response.status}"
        assert answer, f"{where}: openapi.json does not tell of this status"
        answer = self.resolve(answer)
        if method == "HEAD" or not response.body:
            return
        kind = (response.headers.get("Content-Type") or "").split(";")[0]
        content = answer.get("content", {})
        if kind == "text/html" and response.status >= 400 and not path.startswith("/v1/"):
            return  # a problem as a browser shows it
        assert kind in content or operation["tags"] == ["Objects"], f"{where}: {kind} is not told of"
        if kind.endswith("json") and kind in content and len(response.body) < MAX_BODY:
            validator = jsonschema.Draft202012Validator(content[kind]["schema"], resolver=self.resolver)
            for error in validator.iter_errors(json.loads(response.body)):
                raise AssertionError(f"{where}: {error.json_path}: {error.message[:500]}")
