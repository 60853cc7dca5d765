"""What rendered manifests must say: Pod Security `restricted`, and what goes beyond it.

Each rule is a function of one resource or of all, and returns one line for each fault. The rules of
`restricted` are those of the Pod Security Standards; the others are ours, and each has its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Resource = dict[str, Any]
# Pod Security Standards, `restricted`: kubernetes.io/docs/concepts/security/pod-security-standards
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
LIMITS = ("cpu", "memory", "ephemeral-storage")
DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
LEVELS = ("enforce", "audit", "warn")


def workloads(resources: list[Resource]) -> list[Resource]:
    """Return what makes pods."""
    return [found for found in resources if "template" in found.get("spec", {})
            and found["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job")]  # fmt: skip


def pods(resources: list[Resource]) -> Iterator[Resource]:
    """Yield the specification of each kind of pod."""
    for found in workloads(resources):
        yield found["spec"]["template"]["spec"]


def containers(pod: Resource) -> list[Resource]:
    """Return every container of a pod, those that prepare it too."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [found for kind in kinds for found in pod.get(kind, [])]


def faults(resources: list[Resource]) -> list[str]:
    """Return every fault of what is applied together; empty where there is none."""
    found = [line for rule in RULES for line in rule(resources)]
    for pod in pods(resources):
        found += [line for of_pod in POD_RULES for line in of_pod(pod)]
        for one in containers(pod):
            found += [f"{one['name']}: {line}" for rule in CONTAINER_RULES for line in rule(one)]
    return found


# -- a container ----------------------------------------------------------------------------------


def _restricted(container: Resource) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("privileged"):
        yield "privileged"
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "may run as root"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "keeps capabilities"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    if context.get("procMount", "Default") != "Default" or "seLinuxOptions" in context:
        yield "changes /proc or SELinux"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "takes a port of the node"


def _immutable(container: Resource) -> Iterator[str]:
    if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
        yield "its root can be written to"
    if not DIGEST.fullmatch(container["image"]):
        yield f"{container['image']} is not pinned by digest"
    if container.get("imagePullPolicy") != "IfNotPresent":
        yield "is pulled again although its digest is fixed: a registry that is down stops pods"


def _bounded(container: Resource) -> Iterator[str]:
    for kind in ("requests", "limits"):
        given = container.get("resources", {}).get(kind, {})
        yield from (f"no {kind} of {name}" for name in LIMITS if name not in given)


def _no_secret_in_environment(container: Resource) -> Iterator[str]:
    # An environment is seen by whoever may look at the process, and cannot change with a secret.
    for variable in container.get("env", []):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"{variable['name']}: a secret in the environment"
    if any("secretRef" in source for source in container.get("envFrom", [])):
        yield "a Secret in the environment"


CONTAINER_RULES: list[Callable[[Resource], Iterator[str]]] = [
    _restricted, _immutable, _bounded, _no_secret_in_environment,
]  # fmt: skip


# -- a pod ----------------------------------------------------------------------------------------


def _own_namespaces(pod: Resource) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"{name}: a namespace of the node"


def _volumes(pod: Resource) -> Iterator[str]:
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']}: {', '.join(sorted(kinds))} is not allowed"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the node"
        if "secret" in volume and volume["secret"].get("defaultMode", 0o644) & 0o007:
            items = [item["key"] for item in volume["secret"].get("items", [])]
            if items != ["ca.crt"]:
                yield f"volume {volume['name']}: others can read a secret"


def _no_identity(pod: Resource) -> Iterator[str]:
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the cluster is mounted"
    if pod.get("serviceAccountName", "default") == "default":
        yield "runs as the default service account"
    if pod.get("enableServiceLinks") is not False:
        yield "addresses of other services are in its environment"


def _probes(pod: Resource) -> Iterator[str]:
    for container in pod["containers"]:
        for probe in ("readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"{container['name']}: no {probe}"


def _spread(pod: Resource) -> Iterator[str]:
    keys = {each["topologyKey"] for each in pod.get("topologySpreadConstraints", [])}
    if not {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= keys:
        yield "pods are not spread over nodes and zones"


def _end(pod: Resource) -> Iterator[str]:
    grace = pod.get("terminationGracePeriodSeconds", 30)
    for container in pod["containers"]:
        waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if not waits:
            yield f"{container['name']} ends while requests still come"
        if waits >= grace:
            yield f"{container['name']} is killed before it may end"


POD_RULES: list[Callable[[Resource], Iterator[str]]] = [
    _own_namespaces, _volumes, _no_identity, _probes, _spread, _end,
]  # fmt: skip


# -- all of it ------------------------------------------------------------------------------------


def _namespace(resources: list[Resource]) -> Iterator[str]:
    spaces = [found for found in resources if found["kind"] == "Namespace"]
    for space in spaces:
        labels = space["metadata"].get("labels", {})
        for level in LEVELS:
            if labels.get(f"pod-security.kubernetes.io/{level}") != "restricted":
                yield f"the namespace does not {level} Pod Security restricted"
    names = {space["metadata"]["name"] for space in spaces}
    for found in resources:
        if found["kind"] != "Namespace" and found["metadata"].get("namespace") not in names:
            yield f"{found['kind']} {found['metadata']['name']} is in another namespace"


def _no_secrets(resources: list[Resource]) -> Iterator[str]:
    for found in resources:
        if found["kind"] == "Secret":
            yield f"Secret {found['metadata']['name']} is written into a manifest"


def _no_rights(resources: list[Resource]) -> Iterator[str]:
    for found in resources:
        if found["kind"].endswith(("Role", "RoleBinding")):
            yield f"{found['kind']} {found['metadata']['name']}: nothing here asks the cluster"
        mounted = found.get("automountServiceAccountToken") is not False
        if found["kind"] == "ServiceAccount" and mounted:
            yield f"ServiceAccount {found['metadata']['name']} mounts its token"


def _denied(resources: list[Resource]) -> Iterator[str]:
    policies = [found["spec"] for found in resources if found["kind"] == "NetworkPolicy"]
    everything = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if everything not in policies:
        yield "no NetworkPolicy denies everything"
    for spec in policies:
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                if not rule.get("ports"):
                    yield f"NetworkPolicy: {direction} on every port"
                if direction == "egress" and not rule.get(peers):
                    yield "NetworkPolicy: egress to everywhere"
                for peer in rule.get(peers, []):
                    if peer.get("ipBlock", {}).get("cidr", "").endswith("/0"):
                        yield f"NetworkPolicy: {direction}: every address"


def _disruptions(resources: list[Resource]) -> Iterator[str]:
    budgets = [found for found in resources if found["kind"] == "PodDisruptionBudget"]
    for found in workloads(resources):
        labels = found["spec"]["template"]["metadata"]["labels"]
        if not any(_selects(budget["spec"], labels) for budget in budgets):
            yield f"{found['kind']}: its pods may all be evicted at once"
        strategy = found["spec"].get("strategy", {}).get("rollingUpdate", {})
        if found["kind"] == "Deployment" and strategy.get("maxUnavailable") != 0:
            yield "an update takes pods away before there are others"


def _references(resources: list[Resource]) -> Iterator[str]:
    names = {(found["kind"], found["metadata"]["name"]) for found in resources}
    for found in resources:
        if found["kind"] == "HorizontalPodAutoscaler":
            target = found["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) not in names:
                yield f"the autoscaler scales {target['kind']} {target['name']}, which is not there"
        if found["kind"] == "Service":
            kinds = [
                each["spec"]["template"]["metadata"]["labels"] for each in workloads(resources)
            ]
            if not any(_selects({"selector": {"matchLabels": found["spec"]["selector"]}}, labels)
                       for labels in kinds):  # fmt: skip
                yield f"Service {found['metadata']['name']} selects no pod"
    for pod in pods(resources):
        for volume in pod.get("volumes", []):
            map_name = volume.get("configMap", {}).get("name")
            if map_name and ("ConfigMap", map_name) not in names:
                yield f"ConfigMap {map_name} is not there"


def _selects(spec: Resource, labels: dict[str, str]) -> bool:
    wanted = spec.get("selector", {}).get("matchLabels", {})
    return bool(wanted) and wanted.items() <= labels.items()


RULES: list[Callable[[list[Resource]], Iterator[str]]] = [
    _namespace, _no_secrets, _no_rights, _denied, _disruptions, _references,
]  # fmt: skip
