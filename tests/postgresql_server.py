"""A real PostgreSQL in a folder of its own, on a unix socket and where asked on an address."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

import sqlalchemy as sa

FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
MISSING = "PostgreSQL is missing; apt-get install postgresql"
_AS_POSTGRES = ["runuser", "-u", "postgres", "--"]


class PostgresqlServer:
    """Started by the constructor, which needs root: PostgreSQL runs as another user."""

    def __init__(
        self, folder: Path, *, inside: tuple[str, ...] = (), address: str = "", port: int = 5432
    ) -> None:
        """``inside`` is put before the program, such as what enters a network namespace."""
        self._folder, self._data, self._inside = folder, folder / "data", inside
        self._count = itertools.count(1)
        self._settings = (
            f"-c listen_addresses='{address}' -c port={port} -c fsync=off "
            f"-c unix_socket_directories={folder}"
        )
        self.port = port
        # pytest's own folder is root's alone.
        folder.chmod(0o711)
        self._data.mkdir()
        for each in (self._data, folder):
            shutil.chown(each, "postgres")
        self._run(FOUND[-1], "-D", self._data, "-A", "trust", "--no-sync")
        if address:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 0.0.0.0/0 trust\n")
        self.start()

    @property
    def url(self) -> str:
        """The database that is always there, over the unix socket."""
        return f"postgresql+psycopg://postgres@/postgres?host={self._folder}&port={self.port}"

    @property
    def pid(self) -> int:
        """The process that is the parent of all others."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def create_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"t{next(self._count)}"
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.url.replace("@/postgres?", f"@/{name}?")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._control("-w", "-t", "180", "-o", self._settings, "-l", self._folder / "log", "start")

    def stop(self) -> None:
        """End it without waiting for its clients."""
        self._control("-m", "immediate", "stop")

    def freeze(self) -> list[int]:
        """Hold all its processes still; the kernel goes on to confirm what arrives."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        held = [self.pid, *map(int, children)]
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        return held

    def _control(self, *words: object) -> None:
        self._run(FOUND[-1].with_name("pg_ctl"), "-D", self._data, *words)

    def _run(self, *words: object) -> None:
        # The server that is started keeps what it is given as its output: no pipe.
        with (self._folder / "commands").open("ab") as log:
            command = [*self._inside, *_AS_POSTGRES, *map(str, words)]
            subprocess.run(command, check=True, cwd="/", stdout=log, stderr=log, timeout=300)
