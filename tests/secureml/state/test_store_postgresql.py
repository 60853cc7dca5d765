"""The store on a real PostgreSQL: started here on a private socket, and ended again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from secureml.state.clients import Clients
from secureml.state.store import Store

FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
REASON = "needs PostgreSQL: apt-get install postgresql"
pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server in a folder of its own, on a unix socket only."""
    psycopg = pytest.importorskip("psycopg", reason="pip install psycopg[binary]")
    if not FOUND:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(REASON)
    if os.geteuid() != 0 or not shutil.which("runuser"):
        pytest.skip("PostgreSQL is started as another user, which only root can do")
    folder = tmp_path_factory.mktemp("pg")
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    data = folder / "data"
    data.mkdir()
    shutil.chown(data, "postgres")
    shutil.chown(folder, "postgres")
    bin_folder = FOUND[-1].parent
    as_postgres = ["runuser", "-u", "postgres", "--"]
    subprocess.run(
        [*as_postgres, FOUND[-1], "-D", data, "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    control = [*as_postgres, bin_folder / "pg_ctl", "-D", data, "-w"]
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run(
        [*control, "-o", options, "-l", folder / "log", "start"],
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
    )
    try:
        assert psycopg
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        subprocess.run(
            [*control, "-m", "immediate", "stop"], check=True, cwd="/", stdout=subprocess.DEVNULL
        )


def test_a_change_on_one_host_is_seen_by_another_within_a_second(server):
    """The other host's clock moves; nothing sleeps."""
    seconds = [0.0]
    one = Store(server)
    other = Store(server, monotonic=lambda: seconds[0])
    clients, elsewhere = Clients(one, lambda: 1.0), Clients(other, lambda: 1.0)
    clients.add("alice")

    assert elsewhere.get("alice").enabled
    clients.set_enabled("alice", enabled=False)
    seconds[0] += 1.0
    assert not elsewhere.get("alice").enabled
    one.close()
    other.close()
