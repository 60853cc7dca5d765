"""The policy of deploy/kubernetes finds what it says: each rule with a manifest that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kubernetes_policy
import pytest
from kubernetes_manifests import OVERLAYS, container, one, pod_of, rendered

Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_overlay_breaks_it(overlay):
    assert kubernetes_policy.faults(rendered(overlay)) == []


def _of_app(change: Change) -> Change:
    return lambda pod: change(container(pod, "app"))


def _of_context(**values: Any) -> Change:
    return _of_app(lambda app: app["securityContext"].update(values))


SPOILT: dict[str, tuple[Change, str]] = {
    "privilege escalation": (_of_context(allowPrivilegeEscalation=True), "allowPrivilegeEscal"),
    "privileged": (_of_context(privileged=True), "app: privileged"),
    "root": (_of_context(runAsUser=0), "may run as root"),
    "root not refused": (_of_context(runAsNonRoot=False), "may run as root"),
    "capabilities": (_of_context(capabilities={"drop": ["NET_RAW"]}), "keeps capabilities"),
    "a capability more": (
        _of_context(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        "keeps capabilities",
    ),
    "seccomp": (_of_context(seccompProfile={"type": "Unconfined"}), "no seccomp profile"),
    "proc": (_of_context(procMount="Unmasked"), "changes /proc"),
    "root file system": (_of_context(readOnlyRootFilesystem=False), "can be written to"),
    "tag": (_of_app(lambda app: app.update(image="secureml:latest")), "not pinned by digest"),
    "pulled again": (_of_app(lambda app: app.update(imagePullPolicy="Always")), "pulled again"),
    "memory": (_of_app(lambda app: app["resources"]["limits"].pop("memory")), "no limits of mem"),
    "disk": (
        _of_app(lambda app: app["resources"]["limits"].pop("ephemeral-storage")),
        "no limits of ephemeral-storage",
    ),
    "probe": (_of_app(lambda app: app.pop("livenessProbe")), "app: no livenessProbe"),
    "end": (_of_app(lambda app: app.pop("lifecycle")), "ends while requests still come"),
    "port": (
        lambda pod: container(pod, "nginx")["ports"][0].update(hostPort=443),
        "takes a port of the node",
    ),
    "secret": (
        _of_app(lambda app: app.update(env=[{
            "name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}
        }])),
        "a secret in the environment",
    ),
    "init container": (
        lambda pod: container(pod, "folders")["securityContext"].pop("capabilities"),
        "folders: keeps capabilities",
    ),
    "host network": (lambda pod: pod.update(hostNetwork=True), "hostNetwork"),
    "host path": (
        lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "hostPath is not allowed",
    ),
    "no size": (
        lambda pod: pod["volumes"].append({"name": "x", "emptyDir": {}}),
        "may fill the node",
    ),
    "readable secret": (
        lambda pod: pod["volumes"].append({"name": "x", "secret": {"secretName": "a"}}),
        "others can read a secret",
    ),
    "token": (
        lambda pod: pod.update(automountServiceAccountToken=True),
        "a token of the cluster is mounted",
    ),
    "account": (lambda pod: pod.pop("serviceAccountName"), "default service account"),
    "links": (lambda pod: pod.pop("enableServiceLinks"), "addresses of other services"),
    "spread": (lambda pod: pod.pop("topologySpreadConstraints"), "not spread"),
    "grace": (
        lambda pod: pod.update(terminationGracePeriodSeconds=30),
        "killed before it may end",
    ),
    "map": (
        lambda pod: pod["volumes"].append({"name": "x", "configMap": {"name": "gone"}}),
        "ConfigMap gone is not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_the_policy_finds_a_spoilt_pod(name):
    change, expected = SPOILT[name]
    resources = rendered("gateway-api")
    change(pod_of(resources))
    found = kubernetes_policy.faults(resources)
    assert [line for line in found if expected in line], found


def _without(kind: str, name: str = "") -> Callable[[list[dict[str, Any]]], None]:
    return lambda resources: resources.remove(one(resources, kind, name=name))


def _renamed(resources: list[dict[str, Any]]) -> None:
    one(resources, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"


def _opened(resources: list[dict[str, Any]]) -> None:
    policy = one(resources, "NetworkPolicy", name="secureml-to-identity-provider")
    policy["spec"]["egress"][0]["to"][0]["ipBlock"]["cidr"] = "0.0.0.0/0"


def _unavailable(resources: list[dict[str, Any]]) -> None:
    rolling = one(resources, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    rolling["maxUnavailable"] = 1


def _baseline(resources: list[dict[str, Any]]) -> None:
    labels = one(resources, "Namespace")["metadata"]["labels"]
    labels["pod-security.kubernetes.io/enforce"] = "baseline"


def _elsewhere(resources: list[dict[str, Any]]) -> None:
    one(resources, "HTTPRoute")["metadata"].pop("namespace")


def _added(kind: str) -> Callable[[list[dict[str, Any]]], None]:
    metadata = {"name": "x", "namespace": "secureml"}
    return lambda resources: resources.append({"kind": kind, "metadata": metadata})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_without("NetworkPolicy", "default-deny"), "no NetworkPolicy denies everything"),
        (_without("PodDisruptionBudget"), "may all be evicted at once"),
        (_without("Deployment"), "which is not there"),
        (_renamed, "scales StatefulSet secureml, which is not there"),
        (_opened, "egress: every address"),
        (_unavailable, "takes pods away"),
        (_baseline, "does not enforce Pod Security restricted"),
        (_elsewhere, "HTTPRoute secureml is in another namespace"),
        (_added("Secret"), "Secret x is written into a manifest"),
        (_added("ClusterRoleBinding"), "nothing here asks the cluster"),
        (_added("ServiceAccount"), "mounts its token"),
    ],
)
def test_the_policy_finds_a_spoilt_installation(change, expected):
    resources = rendered("gateway-api")
    change(resources)
    found = kubernetes_policy.faults(resources)
    assert [line for line in found if expected in line], found
