"""The manifests of deploy/kubernetes, as kubectl renders them: schemas, policy, and agreement."""

from __future__ import annotations

import copy
import json
import os
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_policy
import pytest
from kubernetes_manifests import (
    KUBERNETES,
    OVERLAYS,
    container,
    kustomize,
    one,
    pod_of,
    program,
    rendered,
    text,
)

from secureml import settings
from secureml.pipeline import builtin_plugins, loader
from secureml.settings import load_table

CHECKOUT = Path(__file__).resolve().parents[2]
PREPARE = runpy.run_path(str(KUBERNETES / "base/prepare_pod.py"))
# Of other projects, and so without a schema among those of Kubernetes.
FOREIGN = {"Gateway", "HTTPRoute", "BackendTLSPolicy", "SecretStore", "ExternalSecret"}


def toml(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return tomllib.loads(
        one(resources, "ConfigMap", name="secureml-settings")["data"]["secureml.toml"]
    )


def validate(*files: Path) -> subprocess.CompletedProcess[str]:
    words = [program("kubernetes-validate"), "--strict", *map(str, files)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


# -- schemas and policy ---------------------------------------------------------------------------


def test_every_resource_is_what_its_schema_says(tmp_path):
    """Strictly: a misspelt key, which a cluster would drop without a word, is an error."""
    for overlay in OVERLAYS:
        (tmp_path / f"{overlay}.yaml").write_text(text(overlay))
    done = validate(*sorted(tmp_path.iterdir()))
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    without = set(re.findall(r"Couldn't find schema for kind (\w+)", said))
    assert without == FOREIGN
    checked = len(re.findall(r"passed for resource", said))
    assert checked == sum(
        each["kind"] not in FOREIGN for name in OVERLAYS for each in rendered(name)
    )


def test_a_misspelt_key_is_found(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text("single-node").replace("readOnlyRootFilesystem", "readOnlyRoot", 1))
    assert validate(wrong).returncode == 1


def test_no_overlay_has_a_finding_of_checkov(tmp_path):
    """Where checkov is there: 290 MB are too much for every machine that runs the tests."""
    checkov = shutil.which("checkov")
    if checkov is None:
        pytest.skip("checkov is missing; pip install checkov, in an environment of its own")
    for overlay in OVERLAYS:
        (tmp_path / f"{overlay}.yaml").write_text(text(overlay))
    words = [checkov, "-d", str(tmp_path), "--framework", "kubernetes", "--skip-download"]
    done = subprocess.run([*words, "-o", "json"], capture_output=True, text=True, check=False)
    summary = json.loads(done.stdout)["summary"]
    assert summary["failed"] == summary["parsing_errors"] == 0, done.stdout
    assert summary["passed"] > 80 * len(OVERLAYS)


# -- agreement with the program -------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_of_the_pods_are_settings(overlay, tmp_path):
    """Every table is read by its schema, and the plugins are those that `secureml init` enables."""
    data = one(rendered(overlay), "ConfigMap", name="secureml-settings")["data"]
    (tmp_path / settings.FILE).write_text(data["secureml.toml"])
    found = settings.read(tmp_path)
    assert found.production
    assert not found.accept_risk
    assert found.plugins == tuple(builtin_plugins.DEFAULT)
    for cls in loader.find(found.plugins):
        load_table(cls.schema, found.plugin_tables.get(cls.name, {}), f"plugins.{cls.name}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_of_the_settings_is_mounted_and_no_other(overlay):
    """For the container that needs it: Nginx gets the edge token alone."""
    resources = rendered(overlay)
    pod = pod_of(resources)
    named = set(re.findall(r'"systemd:([\w.-]+)"', json.dumps(toml(resources))))
    for name in ("app", "nginx-files"):
        assert _secrets(pod, container(pod, name)) == named
    assert _secrets(pod, container(pod, "nginx")) == {"edge-token"}


def _secrets(pod: dict[str, Any], of: dict[str, Any]) -> set[str]:
    mount = next(each for each in of["volumeMounts"] if each["mountPath"] == "/run/secrets")
    volume = next(each for each in pod["volumes"] if each["name"] == mount["name"])
    assert mount["readOnly"]
    return {item["path"] for item in volume["secret"]["items"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_taken_off_before_it_ends_and_ends_after_its_last_request(overlay):
    """Endpoint, then Nginx with the longest request it waits for, then the application."""
    resources = rendered(overlay)
    pod = pod_of(resources)
    waits = {each["name"]: each["lifecycle"]["preStop"]["sleep"]["seconds"]
             for each in pod["containers"]}  # fmt: skip
    longest = toml(resources)["server"].get("timeout", 30) + 5
    conf = (CHECKOUT / "deploy/gunicorn.conf.py").read_text()
    graceful = int(re.findall(r"^graceful_timeout = (\d+)", conf, re.MULTILINE)[0])
    assert waits["nginx"] >= 10
    assert waits["app"] >= waits["nginx"] + longest
    assert pod["terminationGracePeriodSeconds"] >= waits["app"] + graceful


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_mounted_of_a_volume_is_what_was_prepared_in_it(overlay):
    """Else Kubernetes would make a folder there, open to everybody."""
    pod = pod_of(rendered(overlay))
    made = {volume: set(folders) for volume, folders in PREPARE["FOLDERS"].items()}
    files = {"application.conf", "ceilings.conf", "strangers.conf"}
    made["instance"] |= {f"instance/nginx/{name}" for name in files}
    for each in kubernetes_policy.containers(pod):
        for mount in each["volumeMounts"]:
            if mount["name"] in made and each["name"] != "folders":
                assert mount["subPath"] in made[mount["name"]]
    nginx = container(pod, "nginx")
    conf = "/etc/nginx/deploy/nginx/"
    mounted = {each["mountPath"].removeprefix(conf) for each in nginx["volumeMounts"]
               if each["mountPath"].startswith(conf)}  # fmt: skip
    assert mounted == files
    assert all((CHECKOUT / "deploy/nginx" / name).is_file() for name in files)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_program_that_a_container_runs_is_there(overlay):
    """In the image, whose folder is the checkout's, or in a ConfigMap."""
    resources = rendered(overlay)
    named = set(re.findall(r"/opt/secureml/([\w./]+\.py)", json.dumps(pod_of(resources))))
    assert named == {"deploy/container/healthcheck.py"}
    assert all((CHECKOUT / name).is_file() for name in named)
    assert "prepare_pod.py" in one(resources, "ConfigMap", name="secureml-prepare")["data"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_models_settings_and_keys_are_read_only(overlay):
    pod = pod_of(rendered(overlay))
    writable = {each["mountPath"] for each in container(pod, "app")["volumeMounts"]
                if not each.get("readOnly")}  # fmt: skip
    assert writable <= {"/tmp", *(f"/var/lib/secureml{end}" for end in ("", "/store", "/logs"))}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nginx_and_the_application_have_the_same_host(overlay):
    resources = rendered(overlay)
    host = one(resources, "ConfigMap", name="secureml-site")["data"]["host"]
    assert toml(resources)["plugins"]["transport"]["hosts"] == [host]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_changed_setting_replaces_the_pods(overlay):
    """The name of the ConfigMap contains a digest of its content, and the pods name it."""
    name = one(rendered(overlay), "ConfigMap", name="secureml-settings")["metadata"]["name"]
    assert re.fullmatch(r"secureml-settings-[a-z0-9]{10}", name)
    assert name in json.dumps(pod_of(rendered(overlay)))


@pytest.mark.parametrize(
    ("overlay", "openings"),
    [
        ("single-node", {"in 8443", "out 53", "out 443"}),
        *((name, {"in 8443", "out 53", "out 443", "out 5432", "out 6379"})
          for name in ("gateway-api", "ingress-nginx", "production")),
    ],
)  # fmt: skip
def test_the_network_is_open_for_these_and_nothing_else(overlay, openings):
    """In from the gateway; out to DNS, PostgreSQL, Redis and the identity provider."""
    found = set()
    for each in rendered(overlay):
        if each["kind"] == "NetworkPolicy":
            for direction, word in (("ingress", "in"), ("egress", "out")):
                for rule in each["spec"].get(direction, []):
                    found |= {f"{word} {port['port']}" for port in rule["ports"]}
    assert found == openings


@pytest.mark.parametrize("overlay", ["gateway-api", "ingress-nginx", "production"])
def test_only_the_gateway_may_come_in(overlay):
    resources = rendered(overlay)
    peers = one(resources, "NetworkPolicy", name="secureml-from")["spec"]["ingress"][0]["from"]
    assert all(each["namespaceSelector"]["matchLabels"] and each["podSelector"]["matchLabels"]
               for each in peers)  # fmt: skip
    assert one(resources, "ConfigMap", name="secureml-site")["data"]["trusted-proxies"]


def test_another_host_is_one_command_of_the_page(tmp_path):
    """As docs/kubernetes.md gives it."""
    page = (CHECKOUT / "docs/kubernetes.md").read_text()
    words = re.findall(r"^cp -r deploy/kubernetes .*\n(grep -rl .*)$", page, re.MULTILINE)
    shutil.copytree(KUBERNETES, tmp_path / "mine")
    environment = os.environ | {"host": "ml.mine.example"}
    subprocess.run(["bash", "-c", words[0]], cwd=tmp_path, env=environment, check=True)
    for overlay in OVERLAYS:
        made = kustomize(tmp_path / "mine/overlays" / overlay)
        assert "ml.example.org" not in made
        assert made.count("ml.mine.example") > 1


def test_nothing_of_one_run_changes_the_next():
    """The tests share what was rendered."""
    before = copy.deepcopy(rendered("single-node"))
    rendered("single-node").clear()
    assert rendered("single-node") == before
