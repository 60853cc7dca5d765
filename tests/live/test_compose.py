"""All services of deploy/container/compose.yaml, as docs/containers.md says to run them.

The images of PostgreSQL and Redis are made of Debian's packages (containers/Dockerfile).
"""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from live_container_site import BODY, HOST, Connection, copy_in, prepare
from live_containers import APP, INSTANCE, NGINX
from live_servers import CHECKOUT, Answer, free_port
from live_serving import PREDICT, ask, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from live_containers import Engine

pytestmark = [pytest.mark.live, pytest.mark.slow]

DATABASES = "localhost/databases:test"
SERVICES = ("nginx", "app", "redis", "postgres")


class Compose:
    """podman-compose over the real compose.yaml, with a project of its own."""

    def __init__(self, engine: Engine, program: str, site: Path, port: int) -> None:
        self.engine, self.port, self.site = engine, port, site
        self.project = engine.name("compose").replace("-", "")
        podman = engine.folder / "podman"
        if not podman.exists():
            podman.write_text("#!/bin/sh\nexec " + " ".join(engine.words()) + ' "$@"\n')
            podman.chmod(0o755)
        self._words = [program, "--podman-path", str(podman), "--in-pod", "0", "--project-name",
                       self.project, "--file", str(CHECKOUT / "deploy/container/compose.yaml"),
                       "--profile", "commands"]  # fmt: skip
        env = dict(line.split("=", 1) for line in (site / "env").read_text().splitlines())
        self._environment = engine.environment() | env | {
            "APP_IMAGE": APP, "NGINX_IMAGE": NGINX, "POSTGRES_IMAGE": DATABASES,
            "REDIS_IMAGE": DATABASES, "HTTPS": f"127.0.0.1:{port}",
        }  # fmt: skip

    def do(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._words, *words], env=self._environment, capture_output=True, text=True,
            check=False, timeout=180,
        )  # fmt: skip

    def secureml(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.do("run", "-T", "--rm", "--no-deps", "secureml", *words)

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"


@pytest.fixture(scope="module")
def compose(
    engine: Engine, demo_files: tuple[Path, Path], tool: Callable[[str, str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Compose]:  # fmt: skip
    """All services of compose.yaml, with a sealed model."""
    program = tool("podman-compose", "run script/test once, which installs it")
    if not engine.has(DATABASES):
        engine.build(DATABASES, CHECKOUT / "tests/live/containers", file="Dockerfile", pip=False)
    folder = prepare(tmp_path_factory.mktemp("compose") / "site")
    copy_in(folder, demo_files)
    made = Compose(engine, program, folder, free_port())
    try:
        assert made.do("up", "-d", "postgres", "redis").returncode == 0
        init = ("init", "--profile", "production", "--host", HOST)
        assert until(lambda: made.secureml(*init).returncode == 0, 60), made.secureml(*init).stderr
        model, table = demo_files
        sealed = made.secureml("models", "seal", f"/files/{model.name}", "--name", "breast-cancer",
                               "--data", f"/files/{table.name}", "--target", "target",
                               "--no-assess")  # fmt: skip
        assert sealed.returncode == 0, sealed.stderr
        up = made.do("up", "-d", *SERVICES)
        assert up.returncode == 0, up.stderr
        yield made
    finally:
        made.do("down", "--volumes", "--timeout", "5")


def test_compose_serves_with_postgresql_and_redis(engine: Engine, compose: Compose) -> None:
    certificate = compose.site / "tls/tls.crt"

    def asked(method: str, path: str, *more: Any) -> Answer:
        with closing(Connection(compose.port, certificate)) as connection:
            return ask(connection, method, path, *more)

    assert until(lambda: asked("GET", "/readyz").status == 200, 60), engine.log(
        compose.container("app")
    )
    added = compose.secureml("clients", "add", "shop", "--scope", "predict", "--model",
                             "breast-cancer")  # fmt: skip
    assert added.returncode == 0, added.stderr
    key = compose.secureml("api-keys", "issue", "shop").stdout.split()[0]
    answer = asked("POST", PREDICT, key, BODY)
    assert answer.status == 200, answer.body
    counters = 'REDISCLI_AUTH=$(cut -d" " -f2 /run/secrets/redis-auth) redis-cli keys "*"'
    assert engine("exec", compose.container("redis"), "sh", "-c", counters)
    psql = ("psql", "-h", "/run/postgresql", "-U", "secureml", "-Atc", "SELECT name FROM clients")
    assert engine("exec", compose.container("postgres"), *psql) == "shop"
    assert "/predict" in engine.log(compose.container("app"))  # the access log


def test_compose_publishes_nginx_alone_and_gives_nobody_more_than_it_needs(
    engine: Engine, compose: Compose
) -> None:
    for service in SERVICES:
        found = engine.inspect(compose.container(service))
        host = found["HostConfig"]
        assert bool(found["NetworkSettings"]["Ports"].get("8443/tcp")) == (service == "nginx")
        assert host["ReadonlyRootfs"], service
        assert host["Memory"] > 0, service
        assert host["NanoCpus"] > 0 or host["CpuQuota"] > 0, service
        assert 0 < host["PidsLimit"] <= 128, service
        status = engine("exec", compose.container(service), "cat", "/proc/1/status")
        assert "CapBnd:\t0000000000000000" in status, service
        assert "NoNewPrivs:\t1" in status, service
        assert "Uid:\t0" not in status, service
    inside = json.loads(engine("network", "inspect", f"{compose.project}_inside"))[0]
    assert inside["internal"] is True
    where = {service: set(engine.inspect(compose.container(service))["NetworkSettings"]["Networks"])
             for service in SERVICES}  # fmt: skip
    assert where.pop("nginx") == {f"{compose.project}_outside"}
    assert set().union(*where.values()) == {f"{compose.project}_inside"}


def test_the_application_in_compose_writes_where_it_must_and_nowhere_else(
    engine: Engine, compose: Compose
) -> None:
    name = compose.container("app")
    for place in ("keys/x", "models/x", "secureml.toml", "model_integrity/x"):
        assert engine.do("exec", name, "sh", "-c", f"echo x > {INSTANCE}/{place}").returncode
    for place in ("store/x", "logs/x", "run/x"):
        assert not engine.do("exec", name, "sh", "-c", f"echo x > {INSTANCE}/{place}").returncode


def test_no_secret_of_the_site_is_in_an_environment_or_a_command_line(
    engine: Engine, compose: Compose
) -> None:
    secrets = [file.read_text().split()[-1] for file in (compose.site / "secrets").iterdir()]
    assert len(secrets) == 5
    for service in SERVICES:
        known = json.dumps(engine.inspect(compose.container(service)))
        seen = "cat /proc/[0-9]*/cmdline /proc/1/environ"
        known += engine.do("exec", compose.container(service), "sh", "-c", seen).stdout
        assert not [secret for secret in secrets if secret in known], service
