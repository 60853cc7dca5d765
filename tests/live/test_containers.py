"""The images of deploy/container, built and run as docs/containers.md says."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_container_site import BODY, HOST, Connection, Site, copy_in, prepare
from live_containers import APP, INSTANCE, NGINX, RUN, copy_context
from live_servers import CHECKOUT
from live_serving import PREDICT, ask, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from live_containers import Engine

pytestmark = [pytest.mark.live, pytest.mark.slow]

HEALTH = ["-I", "/opt/secureml/deploy/container/healthcheck.py"]


@pytest.fixture(scope="module")
def site(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, demo_files: tuple[Path, Path]
) -> Site:
    """A site with a model that was sealed in a container, and the key of a client."""
    folder = prepare(tmp_path_factory.mktemp("container") / "site")
    copy_in(folder, demo_files)
    instance, run = engine.volume("instance"), engine.volume("run")
    volumes = [f"{instance}:{INSTANCE}", f"{run}:{RUN}"]
    engine.secureml(volumes, "init", "--profile", "production", "--host", HOST)
    model, table = (f"/files/{file.name}" for file in demo_files)
    engine.secureml(
        [*volumes, f"{folder}/files:/files:ro"], "models", "seal", model,
        "--name", "breast-cancer", "--data", table, "--target", "target", "--no-assess",
    )  # fmt: skip
    engine.secureml(volumes, "clients", "add", "shop", "--scope", "predict",
                    "--model", "breast-cancer")  # fmt: skip
    key = engine.secureml(volumes, "api-keys", "issue", "shop").split()[0]
    # Nginx may not read the application's own file: it gets a copy, as a secret of its own.
    token = (engine.place(instance) / "keys/edge-token").read_bytes()
    (folder / "secrets/edge-token").write_bytes(token)
    return Site(folder, instance, run, key)


@pytest.fixture(scope="module")
def app(engine: Engine, site: Site) -> str:
    """The name of a container that serves."""
    name = engine.start("app", APP, "--network", "none", *site.mounts)
    healthy = ("exec", name, "/opt/secureml/.venv/bin/python", *HEALTH, "/readyz")
    assert until(lambda: engine.do(*healthy).returncode == 0, 60), engine.log(name)
    return name


@pytest.fixture(scope="module")
def nginx(engine: Engine, site: Site, app: str) -> str:
    """The name of a container with Nginx, before the application's."""
    del app
    name = engine.start(
        "nginx", NGINX, "--network", engine.network("outside"), "--publish", "127.0.0.1::8443",
        "--env", f"SERVER_NAMES={HOST}", "--volume", f"{site.folder}/tls:/etc/nginx/tls:ro",
        "--volume", f"{site.folder}/secrets/edge-token:/run/secrets/edge-token:ro",
        "--volume", f"{site.run}:{RUN}",
    )  # fmt: skip
    assert until(lambda: engine.do("healthcheck", "run", name).returncode == 0, 30), engine.log(
        name
    )
    return name


@pytest.fixture
def connection(engine: Engine, site: Site, nginx: str) -> Iterator[Connection]:
    with closing(Connection(engine.port(nginx), site.certificate)) as made:
        yield made


# --- a prediction ----------------------------------------------------------------------------


def test_a_prediction_over_tls_through_the_nginx_container(
    site: Site, connection: Connection
) -> None:
    answer = ask(connection, "POST", PREDICT, site.key, BODY)
    assert answer.status == 200, answer.body
    assert answer.json()["predictions"] == [0]
    assert answer.all("Strict-Transport-Security")


def test_what_does_not_pass_nginx_is_refused(engine: Engine, site: Site, app: str) -> None:
    """A container with the volume of the socket, and without the edge token."""
    del app
    code = (
        "import http.client, socket\n"
        "c = http.client.HTTPConnection('ml.example.org')\n"
        "c.sock = socket.socket(socket.AF_UNIX)\n"
        f"c.sock.connect('{RUN}/gunicorn.sock')\n"
        "h = {'X-Forwarded-For': '203.0.113.9', 'X-Forwarded-Proto': 'https'}\n"
        "c.request('GET', '/v1/models', headers=h)\n"
        "print(c.getresponse().status)"
    )
    run = ["--volume", f"{site.run}:{RUN}", "--user", "10002:10001", "--network", "none"]
    done = engine.try_once(NGINX, *run, "--entrypoint", "python3", command=["-c", code])
    assert done.stdout.strip() == "403", done.stderr
    other = ["--volume", f"{site.run}:{RUN}", "--user", "10003:10003", "--network", "none"]
    done = engine.try_once(NGINX, *other, "--entrypoint", "python3", command=["-c", code])
    assert "PermissionError" in done.stderr  # neither of the group, nor let through the folder


# --- what the containers may -----------------------------------------------------------------


@pytest.mark.parametrize(("kind", "user"), [("app", "10001"), ("nginx", "10002")])
def test_a_container_is_nobody_and_can_change_nothing(
    engine: Engine, request: pytest.FixtureRequest, kind: str, user: str
) -> None:
    name = request.getfixturevalue(kind)
    status = dict(
        line.split(":\t", 1)
        for line in engine("exec", name, "cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == [user] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert {status[f"Cap{word}"] for word in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for place in ("/x", "/usr/x", "/etc/nginx/x", "/opt/secureml/wsgi.py"):
        tried = engine.do("exec", name, "sh", "-c", f"echo x > {place}")
        assert tried.returncode, place
    assert engine.inspect(name)["HostConfig"]["Memory"] == 2**30


def test_code_and_packages_belong_to_root_whatever_may_be_written(engine: Engine) -> None:
    """Without --read-only as well."""
    look = ("find", "/opt/secureml", "(", "!", "-user", "0", "-o", "-perm", "/022", ")",
            "!", "-type", "l", "-print")  # fmt: skip
    assert engine("run", "--rm", "--network", "none", "--entrypoint", look[0], APP, *look[1:]) == ""
    pip = ("-c", "import importlib.util as u, sys; sys.exit(u.find_spec('pip') is not None)")
    engine("run", "--rm", "--network", "none", "--entrypoint", "python", APP, *pip)


def test_the_memory_limit_ends_what_takes_more(engine: Engine) -> None:
    words = ["--network", "none", "--memory", "64m", "--entrypoint", "python"]
    done = engine.try_once(APP, *words, command=["-c", "len(bytearray(300 * 2**20))"])
    assert done.returncode == 137


# --- health and end --------------------------------------------------------------------------


def test_the_health_check_tells_a_server_from_none(engine: Engine, site: Site, app: str) -> None:
    assert engine.do("healthcheck", "run", app).returncode == 0
    empty = ["--volume", f"{site.instance}:{INSTANCE}", "--volume", f"{engine.volume('run')}:{RUN}"]
    words = ["--network", "none", *empty, "--entrypoint", "python"]
    done = engine.try_once(APP, *words, command=HEALTH)
    assert done.returncode == 1
    assert "healthcheck: /healthz: " in done.stderr


def test_health_checks_are_not_written_down_as_refusals(
    engine: Engine, site: Site, app: str
) -> None:
    assert engine.do("healthcheck", "run", app).returncode == 0
    lines = (engine.place(site.instance) / "logs/access.log").read_text("utf-8").splitlines()
    asked = [json.loads(line) for line in lines if '"/healthz"' in line]
    assert asked
    assert {line["status"] for line in asked} == {200}


def begun(path: Path, site: Site) -> socket.socket:
    """Send a request but for the end of its body; it is read once the server says to go on."""
    body = json.dumps(BODY).encode()
    token = (site.folder / "secrets/edge-token").read_text("ascii")
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 127.0.0.1\r\n"
        f"X-Forwarded-Proto: https\r\nX-SecureML-Edge: {token}\r\nX-API-Key: {site.key}\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(path))
    connection.sendall(head.encode() + body[:-1])
    assert b" 100 " in connection.recv(4096)
    return connection


def test_sigterm_to_the_first_process_lets_a_begun_request_be_answered(
    engine: Engine, site: Site, app: str
) -> None:
    """And SIGHUP replaces nothing: the container would end with its first process."""
    del app
    run = engine.volume("run")
    name = engine.start("ending", APP, "--network", "none", "--volume",
                        f"{site.instance}:{INSTANCE}", "--volume", f"{run}:{RUN}")  # fmt: skip
    path = engine.place(run) / "gunicorn.sock"
    assert until(lambda: "Booting worker" in engine.log(name), 60), engine.log(name)
    engine("kill", "--signal", "HUP", name)
    assert until(lambda: "fix: replace the container" in engine.log(name), 30), engine.log(name)
    with closing(begun(path, site)) as connection:
        stop = threading.Thread(target=engine.do, args=("stop", "--time", "40", name))
        stop.start()
        assert until(lambda: "Handling signal: term" in engine.log(name), 30)
        connection.sendall(b"}")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    stop.join()
    assert engine.inspect(name)["State"]["ExitCode"] == 0


# --- sealing ---------------------------------------------------------------------------------


def attacked(engine: Engine, site: Site, *options: str) -> Any:
    """Return what hostile work could do in a container."""
    folder = site.folder / "files/attack"
    folder.mkdir(exist_ok=True)
    for source in ("live/containers/confined_attack.py", "attacks/confined/hostile_work.py"):
        shutil.copyfile(CHECKOUT / "tests" / source, folder / Path(source).name)
        (folder / Path(source).name).chmod(0o644)
    words = ["--network", "none", "--volume", f"{folder}:/attack:ro", "--volume",
             f"{site.instance}:{INSTANCE}", *options, "--entrypoint", "python"]  # fmt: skip
    done = engine.try_once(APP, *words, command=["/attack/confined_attack.py"])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def profile_without(site: Site, *calls: str) -> list[str]:
    """Return the options for the engine's own filter of system calls, without some of them."""
    source = Path("/usr/share/containers/seccomp.json")
    profile = json.loads(source.read_text("utf-8"))
    for entry in profile["syscalls"]:
        entry["names"] = [name for name in entry["names"] if name not in calls]
    profile["syscalls"] = [entry for entry in profile["syscalls"] if entry["names"]]
    file = site.folder / f"without-{calls[0]}.json"
    file.write_text(json.dumps(profile), "utf-8")
    return ["--security-opt", f"seccomp={file}"]


@pytest.mark.parametrize("calls", [(), ("unshare", "setns", "mount", "mount_setattr")],
                         ids=["podman", "as Docker"])  # fmt: skip
def test_sealing_is_confined_in_a_container(
    engine: Engine, site: Site, calls: tuple[str, ...]
) -> None:
    """Docker's filter allows no namespaces; Landlock and seccomp do without."""
    found = attacked(engine, site, *(profile_without(site, *calls) if calls else ()))
    has = " ".join(found["available"])
    assert "landlock (ABI" in has
    assert "seccomp: system calls" in has
    assert ("namespaces: missing" in has) == bool(calls)
    for name, outcome in found["attacks"].items():
        assert not outcome["ok"], name
        assert "GOT THROUGH" not in outcome["messages"], name


def test_sealing_refuses_where_the_container_cannot_confine_it(engine: Engine, site: Site) -> None:
    """It is not done without, unless somebody says so."""
    calls = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
    words = ["--network", "none", *site.mounts, "--volume", f"{site.folder}/files:/files:ro",
             *profile_without(site, *calls), "--entrypoint", "secureml"]  # fmt: skip
    (model,) = (site.folder / "files").glob("*.joblib")
    seal = ["models", "seal", f"/files/{model.name}", "--name", "other"]
    done = engine.try_once(APP, *words, command=seal)
    assert done.returncode != 0
    assert "landlock" in done.stderr.lower()
    assert "--unconfined" in done.stderr


# --- layers ----------------------------------------------------------------------------------


def contains(stream: Any, words: list[bytes]) -> set[bytes]:
    """Return which words are somewhere in a stream."""
    found, kept = set(), b""
    while block := stream.read(2**22):
        window = kept + block
        found |= {word for word in words if word in window}
        kept = window[-64:]
    return found


def test_no_file_of_the_operator_comes_into_a_layer(engine: Engine, tmp_path: Path) -> None:
    context = copy_context(tmp_path / "context")
    canary, known = b"canary-7f3a9c51d2", b"canary-that-is-code"
    for place in ("instance/keys/audit.key", ".env", "deploy/container/secrets/edge-token",
                  "deploy/container/env", "tls.key", ".git/config", "secureml.toml",
                  "deploy/systemd/x", "script/x"):  # fmt: skip
        (context / place).parent.mkdir(parents=True, exist_ok=True)
        (context / place).write_bytes(canary)
    (context / "plugins/canary.py").write_bytes(b"# " + known)
    tag = "localhost/canary:test"
    engine.build(tag, context, "--target", "app", "--layers")
    try:
        save = [*engine.words(), "save", "--quiet", "--format", "docker-archive", tag]
        with subprocess.Popen(save, env=engine.environment(), stdout=subprocess.PIPE) as process:
            assert contains(process.stdout, [canary, known]) == {known}  # it is looked at indeed
    finally:
        engine.do("image", "rm", "--force", tag)
    history = engine("image", "inspect", APP)
    assert "token" not in history.lower().replace("edge_token", "")


@pytest.mark.parametrize(
    "name", ["deploy/container/Dockerfile", "tests/live/containers/Dockerfile"]
)
def test_hadolint_has_nothing_to_say(tool: Callable[[str, str], str], name: str) -> None:
    program = tool("hadolint", "run script/test once, which installs it")
    done = subprocess.run(
        [program, CHECKOUT / name], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


# --- prepare and start -----------------------------------------------------------------------


def test_prepare_keeps_what_is_there(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "site")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    prepare(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    owners = {path.name: (path.stat().st_uid, oct(path.stat().st_mode & 0o777))
              for path in (folder / "secrets").iterdir()}  # fmt: skip
    assert owners == {
        "edge-token": (10001, "0o440"), "redis-password": (10001, "0o400"),
        "postgres-passfile": (10001, "0o400"), "postgres-password": (999, "0o400"),
        "redis-auth": (999, "0o400"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "token", "said"),
    [
        ("", "abc", "no server name; fix: "),
        ("a; return 200", "abc", "SERVER_NAMES: write host names"),
        (HOST, 'x";', "fix: openssl rand"),
        (HOST, "", "fix: openssl rand"),
        (HOST, None, "fix: mount the edge token"),
    ],
)
def test_nginx_does_not_start_with_what_it_would_read_otherwise(
    tmp_path: Path, names: str, token: str | None, said: str
) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text(token)
    done = subprocess.run(
        ["sh", str(CHECKOUT / "deploy/container/nginx/start")],
        env={"PATH": os.environ["PATH"], "SERVER_NAMES": names, "EDGE_TOKEN_FILE": str(file)},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert said in done.stderr
