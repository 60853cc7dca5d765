"""`secureml serve` starts whole, stops whole, and says in one line why it does not start."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import CHECKOUT, free_port
from live_serving import PREDICT, Instance, Served, alive, until
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.live

BODY = {"instances": [load_breast_cancer().data[0].tolist()]}


@pytest.fixture
def own(prepared: Instance, tmp_path: Path) -> Instance:
    """An instance folder that may be spoilt."""
    return prepared.copy(tmp_path / "i")


@pytest.fixture
def serve(own: Instance) -> Iterator[Callable[..., Served]]:
    """Start `secureml serve` on that folder; whatever still runs afterwards is ended."""
    started: list[Served] = []

    def start(*flags: str) -> Served:
        started.append(Served(own.folder, *flags))
        return started[-1].ready()

    yield start
    for server in started:
        if server.process.returncode is None:
            server.stop()


def traces(server: Served, below: list[int]) -> list[Any]:
    """Return what is left of a server: processes, sockets, pid files."""
    files = [
        path for path in server.instance.rglob("*") if path.is_socket() or path.suffix == ".pid"
    ]
    return [pid for pid in below if alive(pid)] + files


def test_sigterm_stops_all_that_was_started(
    serve: Callable[..., Served], tool: Callable[[str, str], str]
) -> None:
    tool("nginx", "apt-get install nginx-light")
    server = serve()
    assert f"https://localhost:{server.port}" in server.output
    below = server.processes()[1:]
    assert len(below) >= 5  # two masters, two workers of ours, one or more of Nginx's
    assert server.stop(signal.SIGTERM) == 0
    assert traces(server, below) == []


def test_what_a_killed_server_leaves_does_not_stop_the_next_which_sigint_ends(
    serve: Callable[..., Served], own: Instance, tool: Callable[[str, str], str]
) -> None:
    tool("nginx", "apt-get install nginx-light")
    server = serve()
    below = server.processes()[1:]
    for pid in [server.process.pid, *below]:
        os.kill(pid, signal.SIGKILL)
    server.stop()
    assert until(lambda: not any(map(alive, below)))
    left = {path.name for path in (own.folder / "run").iterdir()}
    assert left == {"gunicorn.sock", "http.sock", "status.sock", "metrics"}
    server = serve()
    assert server.ask("GET", "/readyz").status == 200
    below = server.processes()[1:]
    assert server.stop(signal.SIGINT) == 0
    assert traces(server, below) == []


def test_a_second_server_does_not_take_the_socket_of_the_first(served: Served) -> None:
    second = Served(served.instance)
    assert not second.printed("^address")
    assert second.stop() == 2
    assert "another server is running in this instance folder; fix: " in second.output
    assert len(second.output.splitlines()) == 1
    assert served.ask("GET", "/readyz").status == 200


def test_without_nginx_gunicorn_terminates_tls_with_the_same_floor(
    serve: Callable[..., Served], own: Instance, tool: Callable[[str, str], str]
) -> None:
    openssl = tool("openssl", "apt-get install openssl")
    server = serve("--no-nginx")
    assert server.printed("Nginx is not used: Gunicorn terminates TLS itself")
    answer = server.ask("POST", PREDICT, own.key("direct"), BODY)
    assert (answer.status, answer.json()["predictions"]) == (200, [0])
    assert {version: handshake(openssl, server.port, *flags) for version, flags in TLS.items()} == {
        "1.1": False, "1.2": True, "1.2 with CBC": False, "1.3": True,
    }  # fmt: skip
    below = server.processes()[1:]
    server.process.kill()  # even then nothing outlives the command
    assert until(lambda: not any(map(alive, below)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("flags", [(), ("--no-nginx",)], ids=["Nginx", "no Nginx"])
def test_an_end_lets_a_request_in_flight_be_answered(
    serve: Callable[..., Served],
    own: Instance,
    tool: Callable[[str, str], str],
    flags: tuple[str, ...],
    number: signal.Signals,
) -> None:
    """Even where the command itself is killed outright; and new requests are taken no more."""
    tool("nginx", "apt-get install nginx-light")
    settings = own.folder / "secureml.toml"
    text = settings.read_text("utf-8")
    settings.write_text(
        text.replace('"transport",', '"transport", "tests.live.fault_plugin:Waits",'), "utf-8"
    )
    server = serve(*flags)
    below = server.processes()[1:]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.ask, "POST", PREDICT, own.key("patient"), BODY, X_Wait="1")
        assert until((own.folder / "run/arrived").exists)
        server.process.send_signal(number)
        assert until(lambda: not listens(server.port)), "it has begun to stop"
        assert not asked.done(), asked.result()
        (own.folder / "run/go").touch()
        assert asked.result(timeout=30).status == 200
    assert server.process.wait(timeout=30) == (-number if number == signal.SIGKILL else 0)
    assert until(lambda: not any(map(alive, below)))
    server.stop()


def test_without_nginx_what_is_half_sent_frees_its_thread_in_time(
    serve: Callable[..., Served], own: Instance
) -> None:
    """Half a handshake and half a header, as many as there are threads, for ten seconds at most."""
    server = serve("--no-nginx")
    trust = ssl.create_default_context(cafile=str(own.folder / "tls/ca.crt"))
    hello = bytes.fromhex("1603010200010001fc0303")
    with ExitStack() as stack:
        for number in range(8):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
            if number % 2:
                plain.sendall(hello)
            else:
                line = trust.wrap_socket(plain, server_hostname="localhost")
                stack.enter_context(line).sendall(b"POST /v1/models HTTP/1.1\r\nHost: local")
        assert server.ask("GET", "/readyz").status == 200  # it is waited for thirty seconds


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


TLS = {
    "1.1": ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
    "1.2": ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
    "1.2 with CBC": ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
    "1.3": ["-tls1_3"],
}


def handshake(openssl: str, port: int, *flags: str) -> bool:
    command = [openssl, "s_client", "-connect", f"127.0.0.1:{port}", *flags]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False)
    return done.returncode == 0


# -- starts that must not happen ------------------------------------------------------------------


def append(text: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        with (folder / "secureml.toml").open("a", encoding="utf-8") as file:
            file.write(text)

    return spoil


def change_byte(folder: Path) -> None:
    model = folder / "models/breast-cancer/1/model.data"
    model.chmod(0o600)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)


# What is spoilt, and what the one line must name: the file, the table and key, the fault.
BAD: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "a key nobody knows": (
        append("[plugins.api_keys]\nheadr = 'X-Key'\n"),
        ["secureml.toml", "[plugins.api_keys] headr"],
    ),
    "a secret others can read": (
        lambda folder: (folder / "keys/edge-token").chmod(0o644),
        ["keys/edge-token", "mode 0644", "chmod 600"],
    ),
    "a secret that is missing": (
        lambda folder: (folder / "keys/edge-token").unlink(),
        ["[plugins.transport] edge_token", "keys/edge-token"],
    ),
    "a model with a byte changed": (
        change_byte, ["models", "breast-cancer version 1", "signature", "changed after"],
    ),
}  # fmt: skip


def first(command: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"SECUREML_INSTANCE": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=CHECKOUT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_start_is_one_line_with_the_fix_and_no_traceback(own: Instance, case: str) -> None:
    spoil, names = BAD[case]
    spoil(own.folder)
    serve = first(["secureml.cli", "serve", "--port", str(free_port())], own.folder)
    bare = first(["gunicorn", "-c", "deploy/gunicorn.conf.py"], own.folder)
    emitted, line = serve.communicate(timeout=60)
    assert (serve.returncode, emitted) == (2, "")
    assert line.count("\n") == 1
    assert all(name in line for name in [*names, "; fix: "]), line
    assert bare.communicate(timeout=60) == ("", line)
    assert bare.returncode != 0


# What only `serve` looks at, or words in its own way.
SERVE_ALONE: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "broken TOML": (append("[server\n"), ["secureml.toml", "not valid TOML"]),
    "no workers": (append("[server]\nworkers = 0\n"), ["secureml.toml", "[server] workers"]),
    "no certificate": (
        lambda folder: (folder / "tls/server.crt").write_text("x"),
        ["tls/server.crt"],
    ),
    "no model": (
        lambda folder: shutil.rmtree(folder / "models/breast-cancer"),
        ["no model is sealed"],
    ),
    "no folder": (shutil.rmtree, ["secureml.toml", "secureml init"]),
}


@pytest.fixture(scope="module")
def emitted(
    prepared: Instance, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str, str]]:
    """What serve says to each; two at a time, because most of a start is importing."""

    def start(case: str) -> tuple[int, str, str]:
        folder = prepared.copy(tmp_path_factory.mktemp("spoilt") / "i").folder
        SERVE_ALONE[case][0](folder)
        serve = first(["secureml.cli", "serve", "--port", str(free_port())], folder)
        said = serve.communicate(timeout=60)
        return serve.returncode, *said

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SERVE_ALONE, pool.map(start, SERVE_ALONE), strict=True))


@pytest.mark.parametrize("case", SERVE_ALONE)
def test_what_only_serve_looks_at_stops_it_in_one_line_too(
    emitted: dict[str, tuple[int, str, str]], case: str
) -> None:
    code, printed, line = emitted[case]
    assert (code, printed, line.count("\n")) == (2, "", 1), line
    assert all(name in line for name in [*SERVE_ALONE[case][1], "; fix: "]), line


def test_a_port_in_use_stops_serve_in_one_line(own: Instance) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        port = holder.getsockname()[1]
        serve = first(["secureml.cli", "serve", "--port", str(port)], own.folder)
        _, line = serve.communicate(timeout=60)
    assert serve.returncode == 2
    assert line.startswith(f"secureml: cannot listen on 127.0.0.1:{port}")


def test_a_welcome_for_a_model_that_is_not_there_stops_serve_in_one_line(own: Instance) -> None:
    words = ["secureml.cli", "serve", "--port", str(free_port()), "--welcome", "nothing"]
    serve = first(words, own.folder)
    _, line = serve.communicate(timeout=60)
    assert (serve.returncode, line.count("\n")) == (2, 1)
    assert "there is no model 'nothing'; fix: " in line
