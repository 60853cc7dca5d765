"""No test reaches beyond loopback: not by a socket, not by a name, not in a fixture or a fork."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests import loopback

CHECKOUT = Path(__file__).resolve().parents[2]
AWAY = "192.0.2.1"  # for documentation (RFC 5737): no machine has it
# What fetches from a package registry what it then runs here, and is skipped where it cannot.
FETCHING = re.compile(r"\[npm, |tool\(\"mmdebstrap\"|-m\", \"pip\", \"(?:install|download)\"")
FETCHES = {
    "tests/live/test_vm_install.py": "mmdebstrap",
    "tests/live/live_machine.py": "pip",
    "tests/live/conftest.py": "mmdebstrap, and apt and pip in the builds of images",
    "tests/live/outside_provider.py": "npm",
}


@pytest.fixture
def forgiven():
    """Have the reaches of a test that makes them on purpose forgotten."""
    before = len(loopback.REFUSED)
    yield lambda: loopback.REFUSED[before:]
    del loopback.REFUSED[before:]


def send_to(sock):
    return sock.sendto(b"x", (AWAY, 9))


def send_message(sock):
    return sock.sendmsg([b"x"], [], 0, (AWAY, 9))


@pytest.mark.parametrize(
    ("kind", "reach"),
    [
        (socket.SOCK_STREAM, lambda sock: sock.connect_ex((AWAY, 80))),
        (socket.SOCK_DGRAM, lambda sock: sock.connect_ex((AWAY, 9))),
        (socket.SOCK_DGRAM, send_to),
        (socket.SOCK_DGRAM, send_message),
    ],
    ids=["connect_ex", "datagram socket", "sendto", "sendmsg"],
)
def test_attack_a_socket_beyond_loopback(forgiven, kind, reach):
    with closing(socket.socket(socket.AF_INET, kind)) as sock:
        sock.setblocking(False)
        with pytest.raises(loopback.BeyondLoopback, match=re.escape(repr(AWAY))):
            reach(sock)
    assert forgiven()[0].endswith(AWAY)


@pytest.mark.filterwarnings("ignore:A test tried to use socket.socket.connect")
def test_attack_a_connection_beyond_loopback():
    """pytest-socket refuses it first; without it, the hook would."""
    with pytest.raises(RuntimeError, match=re.escape(AWAY)):
        socket.create_connection((AWAY, 80), timeout=1)


@pytest.mark.parametrize(
    "look_up",
    [
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: socket.gethostbyname("example.org"),
        lambda: socket.gethostbyaddr(AWAY),
    ],
)
def test_attack_a_name_that_another_machine_would_be_asked_for(forgiven, look_up):
    with pytest.raises(loopback.BeyondLoopback):
        look_up()
    assert len(forgiven()) == 1


def test_attack_a_reach_in_a_fork():
    """What it inherits refuses there too."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (AWAY, 9))
        except loopback.BeyondLoopback:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_address_is_nothing_to_look_up():
    assert socket.getaddrinfo(AWAY, 80)
    assert socket.gethostbyname(AWAY) == AWAY


@pytest.mark.parametrize(
    "host", [None, "", "localhost", "a.localhost", "127.0.0.1", "127.8.8.8", "::1", b"127.0.0.1",
             "0.0.0.0", "::"],
)  # fmt: skip
def test_this_machine_is_reached(host):
    assert loopback.stays_here(host)


@pytest.mark.parametrize(
    "host", [AWAY, "10.0.0.1", "::ffff:192.0.2.1", "fe80::1%eth0", "example.org", "localhost.evil",
             "127.0.0.1.example.org", b"example.org", "255.255.255.255"],
)  # fmt: skip
def test_another_machine_is_not(host):
    assert not loopback.stays_here(host)


def test_a_server_on_loopback_is_reached():
    """The guard lets through what tests live on."""
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_connection(server.getsockname(), timeout=10)) as client,
    ):
        client.sendall(b"x")
        taken, _ = server.accept()
        with closing(taken):
            assert taken.recv(1) == b"x"


@pytest.mark.parametrize("swallowed", ["", "try", "fixture"])
def test_a_test_that_reaches_fails_though_it_swallows_the_refusal(tmp_path, swallowed):
    """It would pass for a network that is down: so what was refused is held against the test."""
    reach = f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{AWAY}', 9))"
    tried = f"try:\n        {reach}\n    except Exception:\n        pass"
    body = {
        "": f"def test_it():\n    {reach}\n",
        "try": f"def test_it():\n    {tried}\n",
        "fixture": f"@pytest.fixture\ndef made():\n    {tried}\n\ndef test_it(made):\n    pass\n",
    }[swallowed]
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_it.py").write_text(f"import socket\nimport pytest\n\n{body}", "utf-8")
    shutil.copy(CHECKOUT / "tests/loopback.py", folder)
    kept = (CHECKOUT / "tests/conftest.py").read_text("utf-8")
    hook = re.findall(r"^sys\.addaudithook.*$", kept, re.MULTILINE)
    guard = re.findall(
        r"^@pytest\.fixture\(autouse=True\)\ndef _nothing_beyond_loopback.*?\n\n\n", kept,
        re.MULTILINE | re.DOTALL,
    )  # fmt: skip
    (folder / "conftest.py").write_text(
        "from __future__ import annotations\n\nimport sys\n\nimport pytest\n\n"
        f"from tests import loopback\n\n{hook[0]}\n\n\n{guard[0]}",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
         "--rootdir", str(tmp_path), str(folder)],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert AWAY in done.stdout


def test_only_what_is_named_here_fetches_packages():
    found = {
        str(path.relative_to(CHECKOUT))
        for path in CHECKOUT.glob("tests/**/*.py")
        if FETCHING.search(path.read_text("utf-8")) and path != Path(__file__)
    }
    assert found == set(FETCHES)


def in_a_namespace(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python as `script/test --isolated` does, or skip where that is not allowed."""
    unshare = shutil.which("unshare")
    namespace = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]
    if (
        unshare is None
        or subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no namespaces here: run as root, or allow unprivileged user namespaces")
    return subprocess.run(
        [*namespace, sys.executable, "tests/loopback.py", *words],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_isolated_no_program_has_a_way_out_but_loopback_is_there():
    """Python without the guard, as any other program would: curl, Nginx, a child of a child."""
    code = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), timeout=10)\n"
        f"print(socket.socket().connect_ex(('{AWAY}', 80)))"
    )
    done = in_a_namespace("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.strerror(int(done.stdout)) == "Network is unreachable"
