#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/kubernetes: manifests that are valid by their schemas and agree with each other and with the programs."""
import json
import pathlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, ROOT, main  # noqa: E402
from reading import HERE, read  # noqa: E402

FOLDER = ROOT / "deploy" / "kubernetes"
BASE = FOLDER / "base"
COMPONENTS = ("guard", "keda", "monitoring")
PROGRAMS = {"dispatcher": "dispatcher", "notifier": "dispatcher", "worker": "worker"}


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = read(*sorted(FOLDER.rglob("*.yaml")))
        cls.kustomizations = {path.parent: cls.files[str(path)]["documents"][0]
                              for path in FOLDER.rglob("kustomization.yaml")}
        cls.manifests = [one for name in cls.kustomizations[BASE]["resources"]
                         for one in cls.files[str(BASE / name)]["documents"]]
        cls.added = [one for name in COMPONENTS for file in cls.kustomizations[FOLDER / name]["resources"]
                     for one in cls.files[str(FOLDER / name / file)]["documents"]]
        cls.deployments = {one["metadata"]["name"]: one for one in cls.manifests if one["kind"] == "Deployment"}

    def problems(self, manifests):
        result = subprocess.run(["node", str(HERE / "kubernetes.mjs")], input=json.dumps(manifests), text=True,
                                capture_output=True, check=True)
        return json.loads(result.stdout)

    def of(self, kind):
        return next(one for one in self.manifests + self.added if one["kind"] == kind)

    def port(self, name, port):
        """Its number, of a port's name."""
        return next(one["containerPort"] for one in self.container(name)["ports"] if one["name"] == port)

    def container(self, name):
        return self.deployments[name]["spec"]["template"]["spec"]["containers"][0]

    def test_a_parser_and_the_schemas_find_nothing_wrong(self):
        self.assertEqual([one for file in self.files.values() for one in file["problems"]], [])
        broken = json.loads(json.dumps([self.deployments["worker"], self.of("ScaledObject"), self.of("PodMonitor")]))
        broken[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "30 s"
        broken[1]["spec"]["fallback"]["behavior"] = "currentReplicasIfHigh"
        broken[2]["spec"]["podMetricsEndpoints"][0]["relabelings"][0]["targetLabel"] = 7
        for one in broken:
            one["metadata"]["name"] = "broken"
        said = [one.split(":")[0] for one in self.problems(self.manifests + self.added + broken)]
        self.assertEqual(said, ["Deployment broken", "ScaledObject broken", "PodMonitor broken"])

    def test_a_worker_may_patch_pods_and_nothing_else(self):
        guard = FOLDER / "guard"
        self.assertEqual(self.kustomizations[guard]["kind"], "Component")
        account, role, binding, policy = self.files[str(guard / "rights.yaml")]["documents"]
        self.assertEqual(self.problems([account, role, binding, policy]), [])
        self.assertEqual(role["rules"], [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}])
        self.assertEqual(binding["roleRef"]["name"], role["metadata"]["name"])
        self.assertEqual([one["name"] for one in binding["subjects"]], [account["metadata"]["name"]])
        self.assertEqual(policy["spec"]["podSelector"]["matchLabels"], {"app": "worker"})
        patch = self.files[str(guard / "worker.yaml")]["documents"][0]
        pod = patch["spec"]["template"]["spec"]
        self.assertEqual(pod["serviceAccountName"], account["metadata"]["name"])
        said = subprocess.run([BUILD / "worker" / "darkroom-worker", "--help"], capture_output=True, text=True,
                              check=True).stdout
        for one in pod["containers"][0]["env"]:
            self.assertIn(one["name"].removeprefix("DARKROOM_").lower().replace("_", "-"), said)
        whole = json.loads(json.dumps(self.deployments["worker"]))
        spec = whole["spec"]["template"]["spec"]
        spec |= {name: value for name, value in pod.items() if name != "containers"}
        self.assertEqual(pod["containers"][0]["name"], spec["containers"][0]["name"])
        spec["containers"][0]["env"] += pod["containers"][0]["env"]
        self.assertEqual(self.problems([whole]), [])

    def test_traces_go_where_a_component_says(self):
        tracing = FOLDER / "tracing"
        target = self.kustomizations[tracing]["patches"][0]["target"]
        self.assertEqual(set(target["name"].split("|")), set(self.deployments))
        policy, = self.files[str(tracing / "network.yaml")]["documents"]
        patch, = self.files[str(tracing / "programs.yaml")]["documents"]
        added = [one["value"] for one in patch]
        endpoint = urllib.parse.urlsplit(added[0]["value"])
        self.assertEqual(policy["spec"]["egress"][0]["ports"], [{"port": endpoint.port}])
        for name, folder in PROGRAMS.items():
            said = subprocess.run([BUILD / folder / f"darkroom-{name}", "--help"], capture_output=True, text=True,
                                  check=True).stdout
            whole = json.loads(json.dumps(self.deployments[name]))
            for one in patch:
                self.assertEqual((one["op"], one["path"]), ("add", "/spec/template/spec/containers/0/env/-"))
                whole["spec"]["template"]["spec"]["containers"][0]["env"].append(one["value"])
                self.assertIn("--" + one["value"]["name"].removeprefix("DARKROOM_").lower().replace("_", "-"), said)
            self.assertEqual(self.problems([whole, policy]), [])

    def test_every_file_is_named_by_a_kustomization(self):
        for folder, kustomization in self.kustomizations.items():
            named = {*kustomization.get("resources", []), *(one["path"] for one in kustomization.get("patches", []))}
            files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
            self.assertEqual({name for name in named if name.endswith(".yaml")}, files)
            for name in named - files:
                self.assertEqual((folder / name).resolve(), BASE)

    def test_not_all_of_them_go_at_once(self):
        budgets = {one["metadata"]["name"]: one["spec"]["maxUnavailable"] for one in self.manifests
                   if one["kind"] == "PodDisruptionBudget"}
        self.assertEqual(budgets, {"dispatcher": 1, "notifier": 1, "worker": "25%"})

    def test_selectors_find_the_pods(self):
        for name, deployment in self.deployments.items():
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            self.assertEqual(deployment["spec"]["selector"]["matchLabels"], labels)
            for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service"):
                for one in self.manifests:
                    if one["kind"] == kind and one["metadata"]["name"] == name:
                        selector = one["spec"].get("podSelector") or one["spec"]["selector"]
                        self.assertEqual(selector.get("matchLabels", selector), labels, (kind, name))

    def test_no_secret_stands_here_and_each_that_is_named_is_mounted(self):
        self.assertNotIn("Secret", {one["kind"] for one in self.manifests})
        for name, deployment in self.deployments.items():
            volume = next(one for one in deployment["spec"]["template"]["spec"]["volumes"] if one["name"] == "secrets")
            mounted = {item["path"] for item in volume["secret"]["items"]}
            used = {found for one in self.container(name)["env"]
                    for found in re.findall(r"/run/secrets/darkroom/(\S+)", one.get("value", ""))}
            self.assertEqual(used, mounted, name)
            self.assertEqual(volume["secret"]["defaultMode"], 0o440)

    def test_variables_are_options_and_settings_are_there(self):
        settings = next(one for one in self.manifests if one["kind"] == "ConfigMap")["data"]
        for name, folder in PROGRAMS.items():
            said = subprocess.run([BUILD / folder / f"darkroom-{name}", "--help"], capture_output=True, text=True,
                                  check=True).stdout
            options = set(re.findall(r"^  --([a-z0-9-]+)", said, re.M))
            container = self.container(name)
            self.assertLessEqual({word[2:] for word in container.get("args", []) if word.startswith("--")}, options)
            for one in container["env"]:
                if one["name"].startswith("DARKROOM_"):
                    self.assertIn(one["name"][9:].lower().replace("_", "-"), options)
                if "valueFrom" in one:
                    self.assertIn(one["valueFrom"]["configMapKeyRef"]["key"], settings)

    def test_every_pod_is_confined(self):
        for name, deployment in self.deployments.items():
            pod = deployment["spec"]["template"]["spec"]
            self.assertTrue(pod["securityContext"]["runAsNonRoot"], name)
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, name)
            # Beside what is mounted nothing can be written.
            writable = {one["name"] for one in pod["volumes"] if "emptyDir" in one}
            self.assertIn({"name": "tmp", "mountPath": "/tmp"}, self.container(name)["volumeMounts"], name)
            self.assertIn("tmp", writable, name)
            self.assertFalse(pod["automountServiceAccountToken"], name)
            mine = self.container(name)["securityContext"]
            self.assertEqual((mine["readOnlyRootFilesystem"], mine["allowPrivilegeEscalation"],
                              mine["capabilities"]["drop"]), (True, False, ["ALL"]), name)

    def test_a_worker_has_time_to_drain(self):
        pod = self.deployments["worker"]["spec"]["template"]["spec"]
        drain_ms = int(re.search(r"DRAIN_GIVE_UP_MS (\d+)", (ROOT / "worker" / "loop.c").read_text())[1])
        self.assertGreater(pod["terminationGracePeriodSeconds"] * 1000, drain_ms + 2000)
        self.assertNotIn("lifecycle", self.container("worker"))

    def test_a_dispatcher_has_time_to_be_forgotten_and_to_end(self):
        pod = self.deployments["dispatcher"]["spec"]["template"]["spec"]
        told = {one["name"]: one.get("value") for one in self.container("dispatcher")["env"]}
        self.assertGreater(pod["terminationGracePeriodSeconds"], int(told["DARKROOM_DRAIN_DELAY_MS"]) / 1000 + 10)

    def test_every_pod_is_probed_where_it_listens(self):
        for name in PROGRAMS:
            mine = self.container(name)
            probes = {kind: mine[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
            self.assertEqual((probes["readiness"]["httpGet"]["path"], probes["liveness"]["httpGet"]["path"]),
                             ("/readyz", "/healthz"), name)
            listen = dict(zip(mine.get("args", []), mine.get("args", [])[1:])).get("--metrics") or next(
                one["value"] for one in mine["env"] if one["name"] == "DARKROOM_LISTEN")
            for probe in probes.values():
                self.assertEqual(f"0.0.0.0:{self.port(name, probe['httpGet']['port'])}", listen, name)
                if probe["httpGet"]["path"] == "/readyz":  # a dispatcher asks its store first
                    self.assertGreater(probe.get("timeoutSeconds", 1), 1, name)

    def test_prometheus_may_ask_all_of_them_and_calls_them_what_alerts_do(self):
        monitors = {one["metadata"]["name"]: one["spec"] for one in self.added if one["kind"] == "PodMonitor"}
        self.assertEqual(set(monitors), set(PROGRAMS))
        policy = next(one for one in self.manifests if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "metrics")
        opened, = policy["spec"]["podSelector"]["matchExpressions"]
        path = ROOT / "deploy" / "prometheus" / "prometheus.yml"
        jobs = {job["job_name"] for job in read(path)[str(path)]["documents"][0]["scrape_configs"]}
        for name, spec in monitors.items():
            self.assertEqual(spec["selector"]["matchLabels"], self.deployments[name]["spec"]["selector"]["matchLabels"])
            endpoint, = spec["podMetricsEndpoints"]
            self.port(name, endpoint["port"])
            relabeling, = endpoint["relabelings"]
            self.assertEqual((relabeling["targetLabel"], relabeling["replacement"] in jobs), ("job", True))
            if name != "dispatcher":  # whom everybody may ask
                self.assertIn(name, opened["values"])
                self.assertEqual(policy["spec"]["ingress"][0]["ports"], [{"port": endpoint["port"]}])

    def test_keda_scales_the_workers_by_what_a_dispatcher_says(self):
        scaled = self.of("ScaledObject")
        namespace = self.kustomizations[BASE]["namespace"]
        self.assertEqual(scaled["metadata"]["namespace"], namespace)
        self.assertIn(scaled["spec"]["scaleTargetRef"]["name"], self.deployments)
        trigger, = scaled["spec"]["triggers"]
        service = self.of("Service")
        url = urllib.parse.urlsplit(trigger["metadata"]["url"])
        self.assertEqual((url.hostname, url.port, url.path), (f"{service['metadata']['name']}.{namespace}",
                                                              service["spec"]["ports"][0]["port"], "/v1/scale"))
        self.assertEqual(urllib.parse.parse_qs(url.query)["most"], [str(scaled["spec"]["maxReplicaCount"])])
        self.assertEqual(self.of("ClusterTriggerAuthentication")["metadata"]["name"], trigger["authenticationRef"]["name"])

    def test_kustomize_builds_every_overlay_with_every_component(self):
        kubectl = shutil.which("kubectl")
        if not kubectl or subprocess.run([kubectl, "kustomize", FOLDER / "overlays" / "aws"], capture_output=True,
                                         check=False).returncode != 0:
            self.skipTest("there is no kubectl that knows kustomize's components")
        with tempfile.TemporaryDirectory(prefix="darkroom-kustomize-") as temporary:
            built = [self.kustomize(kubectl, folder, pathlib.Path(temporary, folder.name))
                     for folder in (FOLDER / "overlays").iterdir()]
            documents = [file["documents"] for file in read(*built).values()]
        self.assertEqual(self.problems(sum(documents, [])), [])
        cluster = {"PriorityClass", "ClusterTriggerAuthentication"}
        for overlay in documents:
            self.assertEqual(len(overlay), len(self.manifests + self.added))
            self.assertEqual({one["metadata"].get("namespace") for one in overlay if one["kind"] not in cluster}, {"darkroom"})

    @staticmethod
    def kustomize(kubectl, overlay, folder):
        """A file with what comes of an overlay and all components; made in `folder`."""
        folder.mkdir()
        named = [os.path.relpath(path, os.path.realpath(folder)) for path in (overlay, *map(FOLDER.joinpath, COMPONENTS))]
        (folder / "kustomization.yaml").write_text(json.dumps({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": named[:1],
            "components": named[1:]}))
        built = folder / "built.yaml"
        built.write_bytes(subprocess.run([kubectl, "kustomize", folder], capture_output=True, check=True).stdout)
        return built

    def test_spot_machines_take_workers_alone(self):
        overlays = [folder for folder in self.kustomizations if folder.parent.name == "overlays"]
        self.assertEqual({folder.name for folder in overlays}, {"aws", "gcp", "azure"})
        patched = []
        for folder in overlays:
            patch = self.files[str(folder / "spot.yaml")]["documents"][0]
            self.assertEqual((patch["kind"], patch["metadata"]["name"]), ("Deployment", "worker"))
            spec = patch["spec"]["template"]["spec"]
            self.assertEqual(set(spec), {"nodeSelector", "tolerations"})
            whole = json.loads(json.dumps(self.deployments["worker"]))
            whole["spec"]["template"]["spec"] |= spec
            patched.append(whole)
        self.assertEqual(self.problems(patched), [])


if __name__ == "__main__":
    main()
