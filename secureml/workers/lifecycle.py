"""The life of Gunicorn's master and workers, as its server hooks.

What the plugins do in a worker is theirs; here they learn that it started and that it ends.

Counters of all workers lie side by side in files, so that any worker answers for all. A worker
has a place, and its successor goes on with the counters of that place: none goes down, and the
number of files stays the same however often workers end.

The application is loaded before the workers fork, so new code, settings and models need a new
master. Gunicorn starts one beside the old one on SIGUSR2, here on SIGHUP as well, and both take
requests from the same socket; the new one ends the old one when its own workers serve, and not
before. One that cannot start leaves the old one as it is. ``deploy/reload_gunicorn.py`` and
``secureml reload`` wait for that.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import signal
import sys
from pathlib import Path
from typing import Any

import gunicorn.systemd  # type: ignore[import-untyped]  # ships no types

from secureml.config_error import ConfigError
from secureml.pipeline.events import Event
from secureml.workers.configuration import ServerSettings, stop
from secureml.workers.listening import check_addresses, check_tls

COUNTERS = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is first imported
_GENERATION = "SECUREML_GENERATION"  # which of two the master is: they alternate
_FIRST_FD = 3  # where systemd lays the sockets that it passes on (sd_listen_fds(3))
# A worker says of itself that it serves and that it stops; of one that could say nothing its
# successor reports. What has been recorded is in two bytes that master and worker share.
_START_RECORDED, _END_RECORDED = 0, 1

log = logging.getLogger("gunicorn.error")


class Lifecycle:
    """Gunicorn's hooks; one for each master, inherited by its workers."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._serving = mmap.mmap(-1, mmap.PAGESIZE)  # a byte for each place: its worker serves
        # The master keeps no records: whatever it opened, its workers would inherit.
        self._unrecorded: list[int] = []  # pids of workers that ended without a record

    # -- in the master ---------------------------------------------------------------------

    def on_starting(self, server: Any) -> None:
        """Begin with empty counters, unless another master still counts (an upgrade)."""
        # Gunicorn would start new workers of the application that is loaded already: nothing would
        # be read anew. A successor reads everything, and one that cannot start changes nothing.
        if os.getpid() == 1:
            server.handle_usr2 = _refuse_successor
        server.handle_hup = server.handle_usr2
        self._check(server, server.cfg.address)
        if COUNTERS in os.environ and not server.master_pid:
            for old in Path(os.environ[COUNTERS]).glob("*.db"):
                old.unlink()

    def when_ready(self, server: Any) -> None:
        """Check the sockets that were handed over as well; no worker takes requests yet."""
        self._check(server, [listener.getsockname() for listener in server.LISTENERS])

    def _check(self, server: Any, addresses: list[Any]) -> None:
        file, production = self._settings.file, self._settings.production
        try:
            check_addresses(addresses, file)
            check_tls(tls=server.cfg.is_ssl, production=production, file=file)
        except ConfigError as error:
            stop(error)

    def pre_exec(self, server: Any) -> None:
        """Hand sockets and generation to the master that this process is about to become."""
        environment = server.cfg.env_orig
        environment[_GENERATION] = "b" if environment.get(_GENERATION, "a") == "a" else "a"
        python = interpreter(Path(sys.argv[0]), sys.executable)
        server.START_CTX[0] = server.START_CTX["args"][0] = python
        if not server.systemd:
            return  # Gunicorn names their numbers itself
        # It looks for systemd's sockets where systemd puts them, but has moved them since. First
        # out of the way, so that none is written over.
        held = [fcntl.fcntl(listener, fcntl.F_DUPFD, 64) for listener in server.LISTENERS]
        for number, descriptor in enumerate(held, _FIRST_FD):
            os.dup2(descriptor, number, inheritable=True)

    def pre_fork(self, server: Any, worker: Any) -> None:
        """Give a worker that is about to be made the first free place, and what to record."""
        taken = {other.number for other in server.WORKERS.values()}
        worker.number = next(n for n in range(len(taken) + 1) if n not in taken)
        # Two generations count side by side while one takes over from the other; the third goes
        # on with the files of the first, so that their number does not grow with each.
        worker.place = f"{os.environ.get(_GENERATION, 'a')}-{worker.number}"
        worker.recorded = mmap.mmap(-1, 2)
        # A promoted master has no predecessor any more, and its number may be in use again.
        worker.predecessor = server.master_pid if server.master_pid == os.getppid() else 0
        worker.unrecorded = tuple(self._unrecorded)
        self._unrecorded.clear()

    def child_exit(self, server: Any, worker: Any) -> None:
        """Take what only a living worker says of itself from the files of its place."""
        del server
        if not worker.recorded[_START_RECORDED]:
            self._unrecorded.extend(worker.unrecorded)
        if not worker.recorded[_END_RECORDED]:
            self._unrecorded.append(worker.pid)
        worker.recorded.close()
        if _counts():
            from prometheus_client import multiprocess  # noqa: PLC0415 - it may not be installed

            multiprocess.mark_process_dead(worker.place)  # type: ignore[no-untyped-call]

    # -- in a worker -----------------------------------------------------------------------

    def post_fork(self, server: Any, worker: Any) -> None:
        """Have the worker count in the files of its place, before anything is counted."""
        del server
        if _counts():
            from prometheus_client import values  # noqa: PLC0415 - it may not be installed

            values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
                lambda: worker.place
            )

    def post_worker_init(self, worker: Any) -> None:
        """Start the plugins' part of a worker that is ready to serve."""
        core = _core_of(worker)
        if core is not None:
            core.start_worker(worker.cfg.threads)
            recorded = [_record(core, "sys_crash", pid) for pid in worker.unrecorded]
            if _record(core, "sys_startup", worker.pid) and all(recorded):
                worker.recorded[_START_RECORDED] = 1
        self._take_over(worker)

    def _take_over(self, worker: Any) -> None:
        """End the old master once every worker of the new one serves; done by the last of them."""
        self._serving[worker.number] = 1
        if not worker.predecessor or not all(self._serving[: worker.cfg.workers]):
            return
        # systemd must know the new process before the old one ends.
        gunicorn.systemd.sd_notify(f"MAINPID={os.getppid()}", worker.log)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.predecessor, signal.SIGTERM)

    def worker_exit(self, server: Any, worker: Any) -> None:
        """Record in the worker that it ends, in good order or not."""
        del server
        core = _core_of(worker)
        if core is None or not worker.booted:
            return
        # First what the worker has only counted: after its own end it would record nothing more.
        try:
            core.rest()
        except Exception:
            log.exception("worker %d could not record the counts of its refusals", worker.pid)
        # Gunicorn leaves by SystemExit: 0 when asked to, 1 when it took too long, -1 after a fault.
        code = getattr(sys.exc_info()[1], "code", None)
        if _record(core, "sys_crash" if code else "sys_shutdown", worker.pid):
            worker.recorded[_END_RECORDED] = 1
        core.close()


def _refuse_successor() -> None:
    """Say why the first process of a container has none: the container would end with it."""
    log.warning(
        "not replaced: this server is the first process of a container, which ends with it; "
        "fix: replace the container (docs/containers.md)"
    )


def interpreter(script: Path, present: str) -> str:
    """Return the Python beside a program of an environment, ``present`` where there is none.

    The path of the program may lead through a link to the release in use, and that may be another
    one than when this process began.
    """
    beside = script.parent.resolve() / "python"
    return str(beside) if script.is_absolute() and beside.exists() else present


def _counts() -> bool:
    """Return whether a plugin counts with prometheus_client, which is loaded before the fork."""
    return COUNTERS in os.environ and "prometheus_client" in sys.modules


def _core_of(worker: Any) -> Any:
    return getattr(getattr(worker, "wsgi", None), "extensions", {}).get("secureml")


def _record(core: Any, name: str, pid: int) -> bool:
    """Emit an event; a disk that is full must not keep the server from starting."""
    try:
        core.emit(Event(name, "", {"pid": pid}))
    except Exception:
        log.exception("the event %s of worker %d could not be recorded", name, pid)
        return False
    return True
