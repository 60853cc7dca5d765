"""Clients that are slow on purpose: they hold Nginx's patience, not a thread of the application.

slowhttptest keeps hundreds of connections open by sending a header or a body byte by byte, or by
reading an answer so; the times after which Nginx has had enough are shortened for the test.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from live_bystander import Bystander
from live_serving import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Servers
    from live_servers import Edge, Gunicorn

pytestmark = pytest.mark.live

PATIENCE = {
    "client_header_timeout 10s": "client_header_timeout 2s",
    "client_body_timeout 10s": "client_body_timeout 2s",
    "send_timeout 10s": "send_timeout 2s",
}
CONNECTIONS = 200
SLOW = {
    "header": ["-H"],
    "body": ["-B", "-s", "8192"],
    "read": ["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3"],
}


@pytest.fixture(scope="module")
def patient(servers: Servers, gunicorn: Gunicorn) -> Edge:
    return servers.edge(gunicorn, edits=PATIENCE)


def connections(edge: Edge) -> int:
    """Return how many connections Nginx says it has; the one that asks is none of them."""
    answer = edge.ask_status()
    return int(answer.split()[2]) - 1


@pytest.mark.parametrize("kind", SLOW)
def test_slow_clients_are_cut_off_and_normal_ones_served(
    patient: Edge, tool: Callable[[str, str], str], tmp_path: Path, kind: str
) -> None:
    program = tool("slowhttptest", "apt-get install slowhttptest")
    url = f"https://localhost:{patient.port}/large"
    words = [program, *SLOW[kind], "-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-i", "5"]
    words += ["-l", "90", "-u", url, "-p", "5"]
    assert until(lambda: connections(patient) == 0)
    with (tmp_path / "log").open("wb") as log, Bystander(patient) as bystander:
        attack = subprocess.Popen(words, cwd=tmp_path, stdout=log, stderr=log)
        try:
            # They come, and are gone before they would leave by themselves. How many are there at
            # a time says how busy this machine is: the first are cut off while the last come.
            assert until(lambda: connections(patient) > CONNECTIONS // 10, 40)
            assert until(lambda: connections(patient) < CONNECTIONS // 20, 60)
            assert attack.poll() is None or kind == "read"
        finally:
            attack.terminate()
            attack.wait()
    bystander.was_served(f"slow {kind}")


def test_a_client_that_reads_slowly_holds_no_thread(patient: Edge, gunicorn: Gunicorn) -> None:
    """Nginx has taken the whole answer off Gunicorn's hands before the client reads any of it."""
    lines = [patient.connect() for _ in range(20)]  # Gunicorn has four threads
    before = len(gunicorn.seen())
    try:
        for line in lines:
            line.request("GET", "/large")
        assert patient.ask("GET", "/quick").status == 200
        assert until(lambda: gunicorn.seen().count("GET /large") >= 20)
        assert "GET /quick" in gunicorn.seen()[before:]
    finally:
        for line in lines:
            line.close()


def test_the_state_is_told_to_this_machine_alone_and_nothing_else_there(patient: Edge) -> None:
    assert "Active connections:" in patient.ask_status()
    assert '"code":"not_found"' in patient.ask_status("/metrics")
    assert patient.ask("GET", "/status").json()["path"] == "/status"  # on the site, it is a path
