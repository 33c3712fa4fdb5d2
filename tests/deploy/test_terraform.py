#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/terraform/aws: every resource, argument and reference is one that the provider knows (aws_schema.json), every
action one that IAM knows, and no role may do more than it needs. Terraform itself is not there, nor is AWS."""
import base64
import copy
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import ROOT, main  # noqa: E402
from reading import HERE  # noqa: E402
from test_cloud import FRONT, WORKER, names_of  # noqa: E402

FOLDER = ROOT / "deploy" / "terraform" / "aws"
SCHEMA = json.loads((HERE / "aws_schema.json").read_text())["types"]
META = {"count", "for_each", "depends_on", "lifecycle", "provider"}
LIFECYCLE = {"ignore_changes", "precondition", "postcondition", "create_before_destroy", "prevent_destroy"}
PYTHON = {"string": (str, int, float, bool), "number": (int, float), "bool": (bool,), "list": (list,), "map": (dict,)}
# What each may do, and nothing else. The bucket's policy is for machines of the network, and against whoever comes in clear.
RIGHTS = {"worker": {"autoscaling:SetInstanceProtection", "secretsmanager:GetSecretValue"},
          "front": {"autoscaling:SetDesiredCapacity", "secretsmanager:GetSecretValue", "s3:GetObject", "s3:PutObject",
                    "s3:DeleteObject", "s3:ListBucket"},
          "mail": {"ses:SendRawEmail"}, "bucket": {"s3:*", "s3:GetObject"}, "machine": {"sts:AssumeRole"}}


def node(*words, text=""):
    if not shutil.which("node") or not (HERE / "node_modules" / "@cdktf").exists():
        raise unittest.SkipTest("npm's packages are not there: npm ci in tests/deploy")
    result = subprocess.run(["node", str(HERE / "terraform.mjs"), *map(str, words)], input=text, capture_output=True, text=True,
                            check=True)
    return json.loads(result.stdout)


def texts(value):
    """All strings below a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def is_expression(value):
    return isinstance(value, str) and value.startswith("${") and value.endswith("}")


def block_problems(where, block, known):
    """What is wrong with one block: unknown or missing arguments, literals of another type."""
    found = []
    for name, value in block.items():
        if name == "dynamic":
            for label, dynamics in value.items():
                for one in dynamics:
                    if label not in known or set(one) - {"for_each", "content", "iterator"}:
                        found.append(f"{where}: no dynamic {label}")
                    for content in one.get("content", ()) if label in known else ():
                        found += block_problems(f"{where}.{label}", content, known[label]["block"])
        elif name not in known:
            found.append(f"{where}: no argument {name}")
        elif isinstance(known[name], dict):
            for one in value if isinstance(value, list) else [value]:
                found += block_problems(f"{where}.{name}", one, known[name]["block"])
        else:
            types = PYTHON[known[name].rstrip("!")]
            if not is_expression(value) and (not isinstance(value, types) or isinstance(value, bool) and bool not in types):
                found.append(f"{where}: {name} is no {known[name]}")
    for name, kind in known.items():
        required = kind["required"] if isinstance(kind, dict) else kind.endswith("!")
        if required and name not in block and name not in block.get("dynamic", {}):
            found.append(f"{where}: {name} is missing")
    return found


class Terraform(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = node(FOLDER)

    def named(self, kind, files=None):
        """(type, name, block) of all resources, or of data."""
        for file in (files or self.files).values():
            for of_type, names in file.get(kind, {}).items():
                for name, blocks in names.items():
                    for block in blocks:
                        yield of_type, name, block

    def problems(self, files=None):
        files = files or self.files
        found = [f"{name}: {file['problem']}" for name, file in files.items() if "problem" in file]
        for kind, prefix in (("resource", ""), ("data", "data.")):
            for of_type, name, block in self.named(kind, files):
                where, known = f"{prefix}{of_type}.{name}", SCHEMA.get(prefix + of_type)
                if not known:
                    found.append(f"{where}: no such type")
                    continue
                meta = {key: value for key, value in block.items() if key in META}
                for one in meta.get("lifecycle", ()):
                    found += [f"{where}: no lifecycle.{key}" for key in set(one) - LIFECYCLE]
                    found += [f"{where}: {one} is ignored and unknown" for one in one.get("ignore_changes", ())
                              if one.strip("${}") not in known["arguments"]]
                found += block_problems(where, {key: value for key, value in block.items() if key not in META},
                                        known["arguments"])
        return found + self.reference_problems(files)

    def reference_problems(self, files):
        declared = {kind: {(of_type, name) for of_type, name, _ in self.named(kind, files)} for kind in ("resource", "data")}
        variables = {name for file in files.values() for name in file.get("variable", {})}
        locals_ = {name for file in files.values() for one in file.get("locals", ()) for name in one}
        found, used = [], set()
        for text in texts(list(files.values())):
            for data, of_type, name, attribute in re.findall(r"\b(data\.)?(aws_[a-z0-9_]+)\.([a-z_0-9]+)(?:\[[^]]*\])?(?:\.([a-z_0-9]+))?", text):
                if "${" not in text:
                    continue
                if (of_type, name) not in declared["data" if data else "resource"]:
                    found.append(f"nothing is called {data}{of_type}.{name}")
                elif attribute and attribute not in {*SCHEMA[data + of_type]["read"], *SCHEMA[data + of_type]["arguments"]}:
                    found.append(f"{data}{of_type} has no {attribute}")
            for name in re.findall(r"\bvar\.(\w+)", text):
                used.add(name)
                if name not in variables:
                    found.append(f"no variable {name}")
            found += [f"no local {name}" for name in re.findall(r"\blocal\.(\w+)", text) if name not in locals_]
        return found + [f"variable {name} is used nowhere" for name in variables - used]

    def test_the_provider_knows_every_argument_and_reference(self):
        self.assertEqual(self.problems(), [])

    def test_what_is_misspelt_is_found(self):
        def changed(file, *path):
            files = copy.deepcopy(self.files)
            *way, last, new = path
            at = files[file]
            for step in way:
                at = at[step]
            if new is None:
                del at[last]
            else:
                at[last] = new
            return files
        group = ("workers.tf", "resource", "aws_autoscaling_group", "worker", 0)
        policy = (*group, "mixed_instances_policy", 0)
        for path, words in (((*group, "min_sise", 1), "no argument min_sise"),
                            ((*group, "min_size", None), "min_size is missing"),
                            ((*group, "min_size", "two"), "min_size is no number"),
                            ((*policy, "instances_distribution", 0, "spot_strategy", "x"), "no argument spot_strategy"),
                            ((*policy, "launch_template", 0, "dynamic", "override", 0, "content", 0, "instance_typo", "x"),
                             "no argument instance_typo"),
                            ((*group, "lifecycle", 0, "ignore_change", []), "no lifecycle.ignore_change"),
                            ((*group, "name", "${local.grop}"), "no local grop"),
                            ((*group, "name", "${var.nam}"), "no variable nam"),
                            ((*group, "name", "${aws_launch_template.worker.nam}"), "has no nam"),
                            ((*group, "name", "${aws_launch_template.workers.name}"), "nothing is called"),
                            (("workers.tf", "resource", "aws_autoscalling_group", {"x": [{}]}), "no such type")):
            found = self.problems(changed(*path))
            self.assertTrue(any(words in one for one in found), (words, found))
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "broken.tf").write_text('resource "aws_eip" "x" {\n  domain = \n}\n')
            self.assertIn("problem", node(folder)["broken.tf"])

    def test_iam_knows_every_action_and_nobody_may_do_more_than_it_needs(self):
        policies = {name: block for of_type, name, block in self.named("data") if of_type == "aws_iam_policy_document"}
        rights = {name: {action for one in block["statement"] for action in one["actions"]} for name, block in policies.items()}
        self.assertEqual(rights, RIGHTS)
        actions = sorted({action for one in rights.values() for action in one} - {"s3:*"})
        self.assertEqual(node(text=json.dumps([*actions, "s3:GetObjekt"])), ["s3:GetObjekt"])
        for name, block in policies.items():
            for statement in block["statement"]:
                for resource in statement.get("resources", ()):
                    self.assertRegex(resource, r"^\$\{", f"{name}: {resource}")
                if statement.get("effect", "Allow") == "Allow" and name == "bucket":
                    self.assertEqual(statement["condition"][0]["variable"], "aws:SourceVpce")
                if "s3:*" in statement["actions"]:
                    self.assertEqual(statement["effect"], "Deny")

    def test_user_data_gets_what_it_names(self):
        for file, template, expected in (("workers.tf", "worker.yaml", WORKER), ("front.tf", "front.yaml", FRONT)):
            text = (FOLDER / file).read_text()
            [given] = re.findall(rf'{template}", \{{\n(.*?)\n  \}}\)', text, re.S)
            names = set(re.findall(r"^\s*(\w+)\s*=", given, re.M))
            self.assertEqual(names, names_of(template))
            self.assertEqual(names - {"release_url", "release_sha256"}, set(expected))

    def test_variables_and_outputs_say_what_they_are(self):
        for file in self.files.values():
            for name, [block] in file.get("variable", {}).items():
                self.assertTrue(block["description"].endswith("."), name)
                self.assertIn("type", block, name)
                self.assertNotIn("secret", name)
                for one in block.get("validation", ()):
                    self.assertIn(f"var.{name}", one["condition"])
            for name, [block] in file.get("output", {}).items():
                self.assertTrue(block["description"], name)

    def test_no_secret_stands_in_the_state(self):
        types = {of_type for of_type, _, _ in self.named("resource")} | {of_type for of_type, _, _ in self.named("data")}
        self.assertFalse(types & {"aws_secretsmanager_secret_version", "aws_iam_access_key", "aws_ssm_parameter"})

    def test_the_password_for_smtp_is_the_one_that_ses_expects(self):
        """Reckoned once more by openssl, over the chain that AWS describes."""
        secret, key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None
        for word in ("11111111", "eu-west-1", "ses", "aws4_request", "SendRawEmail"):
            key = key or ("AWS4" + secret).encode().hex()
            key = subprocess.run(["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key}"], input=word.encode(),
                                 capture_output=True, check=True).stdout.decode().split()[-1]
        said = subprocess.run([FOLDER / "smtp-password.py", "eu-west-1"], input=secret + "\n", capture_output=True, text=True,
                              check=True).stdout
        self.assertEqual(base64.b64decode(said), b"\4" + bytes.fromhex(key))

    def test_nobody_but_visitors_and_workers_reaches_anything(self):
        doors = {name: block for of_type, name, block in self.named("resource") if of_type == "aws_vpc_security_group_ingress_rule"}
        self.assertEqual({(name, block["from_port"], block["to_port"]) for name, block in doors.items()},
                         {("front_https", 443, 443), ("front_http", 80, 80), ("front_redis", 6379, 6379)})
        self.assertEqual(doors["front_redis"]["referenced_security_group_id"], "${aws_security_group.worker.id}")
        for of_type, name, block in self.named("resource"):
            if of_type in ("aws_instance", "aws_launch_template"):
                self.assertEqual(block["metadata_options"][0]["http_tokens"], "required", name)

    def test_a_busy_machine_outlives_a_new_release(self):
        [group] = [block for of_type, _, block in self.named("resource") if of_type == "aws_autoscaling_group"]
        self.assertEqual(group["instance_refresh"][0]["preferences"][0]["scale_in_protected_instances"], "Wait")
        self.assertEqual(group["lifecycle"][0]["ignore_changes"], ["${desired_capacity}"])


if __name__ == "__main__":
    main()
