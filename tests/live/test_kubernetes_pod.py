"""The pod of deploy/kubernetes/overlays/single-node, from its images to a prediction over TLS."""

from __future__ import annotations

import copy
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from live_containers import APP, NGINX
from live_pods import Pod
from live_servers import CHECKOUT
from live_serving import PREDICT, ask, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from live_containers import Engine
    from live_servers import Answer
    from live_serving import Instance

pytestmark = [pytest.mark.live, pytest.mark.slow]

HOST = "ml.mine.example"
MODELS = "localhost/secureml-models:test"
PAGE = (CHECKOUT / "docs/kubernetes.md").read_text("utf-8")
# A row of the demo model's table.
ROW = [17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871, 1.095, 0.9053,
       8.589, 153.4, 0.006399, 0.04904, 0.05373, 0.01587, 0.03003, 0.006193, 25.38, 17.33, 184.6,
       2019.0, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601, 0.1189]  # fmt: skip


def digest(engine: Engine, image: str) -> str:
    return engine("image", "inspect", "--format", "{{.Digest}}", image)


def render(engine: Engine, kubectl: str, folder: Path, sealed: Instance) -> list[dict[str, Any]]:
    """Do what the page says: copy, name the host and the images, give the public key."""
    mine = folder / "mine"
    shutil.copytree(CHECKOUT / "deploy/kubernetes", mine)
    shutil.copy(sealed.folder / "model_integrity/signing.pem", mine / "base/signing.pem")
    for file in mine.rglob("*"):
        if file.is_file():
            file.write_text(file.read_text().replace("ml.example.org", HOST))
    site = mine / "base/kustomization.yaml"
    # The network of Podman: a gateway would be there.
    site.write_text(site.read_text().replace("trusted-proxies=", "trusted-proxies=10.0.0.0/8"))
    overlay = mine / "overlays/single-node/kustomization.yaml"
    wanted = yaml.safe_load(overlay.read_text())
    for image, tag in zip(wanted["images"], (APP, NGINX, MODELS), strict=True):
        image |= {"newName": tag.rpartition(":")[0], "digest": digest(engine, tag)}
    overlay.write_text(yaml.safe_dump(wanted))
    made = subprocess.run(
        [kubectl, "kustomize", str(overlay.parent)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def make_secrets(folder: Path) -> dict[str, dict[str, bytes]]:
    """Run the commands of the page and return what it puts into Secrets."""
    folder.mkdir()
    section = PAGE.split("### 3. Secrets")[1].split("```")[1]
    commands = [line for line in section.splitlines() if line.startswith("openssl ")]
    assert len(commands) == 4
    script = "\n".join([f"set -e; host={HOST}", *commands])
    subprocess.run(["bash", "-c", script], cwd=folder, check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    tls = {name: files.pop(name) for name in ("tls.crt", "tls.key")}
    return {"secureml-keys": files, "secureml-tls": tls}


@pytest.fixture(scope="module")
def pod(
    engine: Engine,
    prepared: Instance,
    tool: Callable[[str, str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """The pod, ready, with the sealed demo model."""
    kubectl = tool("kubectl", "script/test installs it into .venv/kubernetes")
    folder = tmp_path_factory.mktemp("kubernetes")
    file = CHECKOUT / "deploy/kubernetes/models.Dockerfile"
    words = ["--quiet", "--pull=never", "--format", "docker", "--isolation", "chroot"]
    words += ["--build-arg", f"SECUREML={APP}", "--tag", MODELS, "--file", str(file)]
    engine("build", *words, str(prepared.folder / "models"))
    resources = render(engine, kubectl, folder, prepared)
    made = Pod(engine, folder / "volumes", resources, make_secrets(folder / "secrets"))
    try:
        made.prepare()
        made.prepare()  # as after the restart of a node
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def key(pod: Pod) -> str:
    """A key, made by commands in the application's container."""
    words = ("clients", "add", "shop", "--scope", "predict", "--model", "breast-cancer")
    pod.exec("app", "secureml", *words)
    issued = pod.exec("app", "secureml", "api-keys", "issue", "shop", "--expires", "90d")
    return re.findall(r"sml_\w+", issued)[0]


class _Connection(http.client.HTTPSConnection):
    """To the pod by its name, wherever it listens, verified by the certificate of the page."""

    def __init__(self, pod: Pod, certificate: Path) -> None:
        self._trust = ssl.create_default_context(cafile=str(certificate))
        super().__init__(HOST, pod.port, timeout=30, context=self._trust)
        self._pod = pod

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self._pod.port), 30)
        self.sock = self._trust.wrap_socket(plain, server_hostname=HOST)


def connect(pod: Pod) -> _Connection:
    return _Connection(pod, pod.folder.parent / "secrets/tls.crt")


def predict(pod: Pod, key: str, **headers: str) -> Answer:
    with closing(connect(pod)) as connection:
        return ask(connection, "POST", PREDICT, key, {"instances": [ROW]}, **headers)


def test_a_prediction_is_answered_over_tls(pod: Pod, key: str) -> None:
    answer = predict(pod, key)
    assert answer.status == 200, answer.body
    assert answer.json()["predictions"] == [0]


def test_without_a_key_it_is_refused(pod: Pod) -> None:
    assert predict(pod, "").status == 401


def test_every_probe_of_the_manifest_succeeds(pod: Pod) -> None:
    assert pod.probe("app", "startupProbe")
    assert pod.probe("app", "livenessProbe")
    assert pod.probe("app", "readinessProbe")
    assert pod.probe("nginx", "readinessProbe")


def test_whoever_asks_by_address_gets_the_health_alone(pod: Pod) -> None:
    assert pod.ask_by_address("/healthz") == 200
    assert pod.ask_by_address("/v1/models") == 421


@pytest.mark.parametrize(("name", "user"), [("app", "10001"), ("nginx", "10002")])
def test_a_container_has_no_rights(pod: Pod, name: str, user: str) -> None:
    """User, group, capabilities, privileges and system calls are those of the manifest."""
    status = dict(
        re.findall(r"^(\w+):\s+(.*)$", pod.exec(name, "cat", "/proc/1/status"), re.MULTILINE)
    )
    assert set(status["Uid"].split()) == {user}
    assert set(status["Gid"].split()) == {"10001"}
    assert {status[kind] for kind in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("app", "/opt/secureml/x"),
        ("app", "/var/lib/secureml/models/x"),
        ("app", "/var/lib/secureml/secureml.toml"),
        ("app", "/run/secrets/edge-token"),
        ("nginx", "/etc/nginx/nginx.conf"),
        ("nginx", "/etc/nginx/pod/ceilings.conf"),
        ("nginx", "/etc/nginx/tls/tls.key"),
    ],
)
def test_what_decides_cannot_be_written(pod: Pod, name: str, path: str) -> None:
    words = ("exec", pod.container(name), "sh", "-c", f"echo x >> {path}")
    done = pod.engine.do(*words, conf="kube.conf")
    assert done.returncode != 0
    assert re.search("Read-only file system|Permission denied", done.stderr), done.stderr


def test_nginx_has_the_edge_token_and_no_other_secret(pod: Pod) -> None:
    assert pod.exec("nginx", "ls", "/run/secrets") == "edge-token"
    assert "audit.key" in pod.exec("app", "ls", "/run/secrets")


def test_the_address_is_the_one_that_the_gateway_saw(pod: Pod, key: str) -> None:
    """The last of X-Forwarded-For, which the gateway writes, and not what a client put before."""
    answer = predict(pod, key, X_Forwarded_For="203.0.113.9, 198.51.100.7")
    assert answer.status == 200
    lines = [json.loads(line) for line in pod.log("app").splitlines() if line.startswith("{")]
    found = {line["id"]: line for line in lines if "milliseconds" in line}
    assert found[answer.json()["id"]]["address"] == "198.51.100.7"


def test_the_audit_log_is_on_the_disk_of_the_pod_and_intact(pod: Pod, key: str) -> None:
    assert predict(pod, "").status == 401
    pod.exec("app", "secureml", "audit-log", "verify")
    assert list((pod.folder / "records/logs/audit").glob("audit-*.jsonl"))


def test_a_wrong_setting_ends_the_pod_in_one_line(pod: Pod) -> None:
    """In the init container, before anything serves."""
    container = next(each for each in pod.spec["initContainers"] if each["name"] == "nginx-files")
    spoilt = copy.deepcopy(container)
    spoilt["env"] = []
    spoilt["volumeMounts"] = [
        each for each in spoilt["volumeMounts"] if each["mountPath"] != "/run/secrets"
    ]
    code, said = pod.run_once(spoilt)
    assert code == 1
    assert re.match(r"prepare_pod: .*edge-token.*; fix: ", said), said


def test_a_request_that_has_begun_is_answered_while_the_pod_ends(pod: Pod, key: str) -> None:
    """Nginx is told to end while half of a body has come; the application ends after it."""
    body = json.dumps({"instances": [ROW]}).encode()
    with closing(connect(pod)) as connection:
        connection.putrequest("POST", PREDICT)
        for name, value in (("X-API-Key", key), ("Content-Type", "application/json")):
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:50])
        pod.send_stop_signal("nginx")
        assert until(lambda: not listens(pod))
        connection.send(body[50:])
        assert connection.getresponse().status == 200
    assert pod.exit_code("nginx") == 0
    pod.send_stop_signal("app")
    assert pod.exit_code("app") == 0
    pod.restart()
    assert predict(pod, key).status == 200  # the store is that of the pod before


def listens(pod: Pod) -> bool:
    """Tell whether a new connection gets as far as a handshake."""
    try:
        pod.ask_by_address("/healthz")
    except OSError:
        return False
    return True
