"""A pod of the rendered manifests, run by `podman play kube`.

Podman takes a Deployment's pod with its security contexts, limits, commands and mounts. What a
kubelet does beside is done here: volumes with the owner and modes that it gives them, parts of
volumes (``subPath``), values from ConfigMaps, init containers one after the other, and probes.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import os
import ssl
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from live_servers import free_port
from live_serving import until

if TYPE_CHECKING:
    from live_containers import Engine

KUBELETS = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
WORKLOADS = ("Deployment", "StatefulSet")


class Pod:
    """The pod of some resources, with the contents of the Secrets that it names."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        resources: list[dict[str, Any]],
        secrets: dict[str, dict[str, bytes]],
    ) -> None:
        self.engine, self.folder = engine, folder
        self._maps = {each["metadata"]["name"]: each["data"] for each in resources
                      if each["kind"] == "ConfigMap"}  # fmt: skip
        workload = next(each for each in resources if each["kind"] in WORKLOADS)
        self.spec: dict[str, Any] = workload["spec"]["template"]["spec"]
        self._group = self.spec["securityContext"]["fsGroup"]
        claims = workload["spec"].get("volumeClaimTemplates", [])
        for volume in [
            *self.spec["volumes"],
            *({"name": each["metadata"]["name"]} for each in claims),
        ]:
            self._make_volume(volume, secrets)
        self.name, self.port = f"secureml-{uuid.uuid4().hex[:8]}", free_port()
        self._network = engine.network("pod")
        self._played: list[Path] = []

    def _make_volume(self, volume: dict[str, Any], secrets: dict[str, dict[str, bytes]]) -> None:
        """Make a volume as a kubelet does: open to everybody at its root, and of the group."""
        root = self.folder / volume["name"]
        root.mkdir(parents=True)
        os.chown(root, 0, self._group)
        root.chmod(0o2777)
        if "configMap" in volume:
            source = volume["configMap"]
            files = {name: text.encode() for name, text in self._maps[source["name"]].items()}
        elif "secret" in volume:
            source = volume["secret"]
            content = secrets[source["secretName"]]
            files = {item["path"]: content[item["key"]] for item in source["items"]}
        else:
            return
        for name, content in files.items():
            (root / name).write_bytes(content)
            os.chown(root / name, 0, self._group)
            (root / name).chmod(source["defaultMode"])

    # -- running -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Run the init containers, one after the other; each must succeed."""
        for container in self.spec["initContainers"]:
            code, said = self.run_once(container)
            assert code == 0, f"{container['name']}: {said}"

    def run_once(self, container: dict[str, Any]) -> tuple[int, str]:
        """Run one container to its end; return its exit code and what it said."""
        name = f"{self.name}-{container['name']}-{uuid.uuid4().hex[:4]}"
        spec = self._spec([container]) | {"restartPolicy": "Never"}
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        file = self._play(name, manifest)
        running = f"{name}-{container['name']}"
        code = int(self.engine("wait", running))
        said = self.engine.log(running)
        self._down(file)
        return code, said

    def start(self) -> None:
        """Start the containers that serve, and wait as a kubelet does until the pod is ready."""
        containers = [copy.deepcopy(each) for each in self.spec["containers"]]
        port = containers[-1]["ports"][0]
        port |= {"hostPort": self.port, "hostIP": "127.0.0.1"}
        # A kubelet restarts no container of a pod that ends; Podman knows of no end but this.
        spec = self._spec(containers) | {"restartPolicy": "Never"}
        template = {"metadata": {"labels": {"app": self.name}}, "spec": spec}
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {"selector": {"matchLabels": {"app": self.name}}, "template": template},
        }
        self._serving = self._play(self.name, manifest)
        if not until(self.is_ready, 120):
            raise AssertionError("".join(self.log(each["name"])[-2000:] for each in containers))

    def _spec(self, containers: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the pod with these containers, in what Podman knows."""
        volumes: dict[tuple[str, str], str] = {}
        translated = [self._translated(each, volumes) for each in containers]
        unused = ("initContainers", "containers", "volumes")
        spec = {key: value for key, value in self.spec.items() if key not in unused}
        paths = {name: self.folder / volume / part for (volume, part), name in volumes.items()}
        found = [{"name": name, "hostPath": {"path": str(path)}} for name, path in paths.items()]
        return spec | {"containers": translated, "volumes": found}

    def _translated(
        self, container: dict[str, Any], volumes: dict[tuple[str, str], str]
    ) -> dict[str, Any]:
        made = {key: value for key, value in container.items() if key not in KUBELETS}
        made["env"] = [self._resolved(each) for each in container.get("env", [])]
        # Before what is inside it, as every runtime of Kubernetes mounts them.
        mounts = sorted(container["volumeMounts"], key=lambda each: each["mountPath"].count("/"))
        made["volumeMounts"] = []
        for mount in mounts:
            part = (mount["name"], mount.get("subPath", ""))
            name = volumes.setdefault(part, f"volume-{len(volumes)}")
            words = {key: mount[key] for key in ("mountPath", "readOnly") if key in mount}
            made["volumeMounts"].append({"name": name, **words})
        return made

    def _resolved(self, variable: dict[str, Any]) -> dict[str, str]:
        where = variable["valueFrom"]["configMapKeyRef"]
        return {"name": variable["name"], "value": self._maps[where["name"]][where["key"]]}

    def _play(self, name: str, manifest: dict[str, Any]) -> Path:
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(manifest), "utf-8")
        self._played.append(file)
        words = ("play", "kube", "--network", self._network, str(file))
        self.engine(*words, conf="kube.conf")
        return file

    def _down(self, file: Path) -> None:
        self.engine.do("play", "kube", "--down", str(file), conf="kube.conf")
        self._played.remove(file)

    def restart(self) -> None:
        """Start the pod that serves again, over the volumes as they are."""
        self._down(self._serving)
        self.start()

    def stop(self) -> None:
        """End whatever was played."""
        for file in reversed([*self._played]):
            self._down(file)
        # Each container that ends has Podman run once more, in the background, over the storage
        # that will be removed next.
        until(lambda: not self._is_cleaning_up(), 30)

    def _is_cleaning_up(self) -> bool:
        storage = str(self.engine.folder).encode()
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = line.read_bytes().split(b"\0")
                podman = words[0].endswith(b"podman")  # its monitor names the same words
                if podman and b"cleanup" in words and any(storage in word for word in words):
                    return True
        return False

    def send_stop_signal(self, name: str) -> None:
        """Ask a container to end, as a kubelet does after `preStop`: by the signal of its image."""
        signal = self.engine.inspect(self.container(name))["Config"]["StopSignal"]
        self.engine("kill", "--signal", str(signal), self.container(name), conf="kube.conf")

    def exit_code(self, name: str) -> int:
        """Wait until a container has ended and return its exit code."""
        return int(self.engine("wait", self.container(name)))

    # -- what a kubelet asks -------------------------------------------------------------------

    def container(self, name: str) -> str:
        """Return what Podman calls a container of the pod that serves."""
        return f"{self.name}-pod-0-{name}"

    def log(self, name: str) -> str:
        return self.engine.log(self.container(name))

    def exec(self, name: str, *words: str) -> str:
        """Run a command in a container, as `kubectl exec`; it must succeed."""
        return self.engine("exec", self.container(name), *words, conf="kube.conf")

    def probe(self, name: str, kind: str) -> bool:
        """Tell whether a probe of the manifest succeeds now."""
        spec = next(each for each in self.spec["containers"] if each["name"] == name)[kind]
        if "exec" in spec:
            words = ("exec", self.container(name), *spec["exec"]["command"])
            return self.engine.do(*words, conf="kube.conf").returncode == 0
        assert spec["httpGet"]["scheme"] == "HTTPS"
        try:
            return self.ask_by_address(spec["httpGet"]["path"]) == http.HTTPStatus.OK
        except OSError:
            return False

    def ask_by_address(self, path: str) -> int:
        """Ask as a kubelet: by address, so no server is named, whatever the certificate."""
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=trust)
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def is_ready(self) -> bool:
        return self.probe("nginx", "readinessProbe") and self.probe("app", "readinessProbe")
