"""What Gunicorn's hooks do, without Gunicorn; with it: tests/live/test_reload.py and others."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from secureml.workers import lifecycle
from secureml.workers.configuration import ServerSettings
from secureml.workers.lifecycle import COUNTERS, Lifecycle

SETTINGS = ServerSettings(Path("/srv/secureml.toml"), True, 2, 4, "unix:/run/s", 30)


class Core:
    """What the application keeps for its plugins."""

    def __init__(self, fails=()):
        self.fails, self.events, self.calls = set(fails), [], []

    def start_worker(self, threads):
        self.calls.append(("start_worker", threads))

    def emit(self, event):
        if event.name in self.fails:
            raise OSError("disk full")
        self.events.append((event.name, event.facts["pid"]))

    def rest(self):
        self.calls.append("rest")
        if "rest" in self.fails:
            raise OSError("disk full")

    def close(self):
        self.calls.append("close")


class Worker(SimpleNamespace):
    """One of Gunicorn's workers, as hooks see it."""

    def __init__(self, core=None, pid=4711, workers=2):
        wsgi = SimpleNamespace(extensions={"secureml": core} if core else {})
        super().__init__(
            wsgi=wsgi,
            pid=pid,
            booted=True,
            log=None,
            cfg=SimpleNamespace(threads=4, workers=workers),
        )


def master(*workers, master_pid=0):
    found = {worker.pid: worker for worker in workers}
    cfg = SimpleNamespace(address=["/run/s"], is_ssl=False, env_orig={})
    return SimpleNamespace(
        WORKERS=found,
        master_pid=master_pid,
        cfg=cfg,
        LISTENERS=[],
        systemd=False,
        START_CTX={0: sys.executable, "args": [sys.executable, *sys.argv]},
        handle_usr2=lambda: "a successor is started",
    )


@pytest.fixture
def hooks(monkeypatch):
    monkeypatch.delenv(lifecycle._GENERATION, raising=False)
    monkeypatch.delenv(COUNTERS, raising=False)
    return Lifecycle(SETTINGS)


def forked(hooks, server, worker):
    hooks.pre_fork(server, worker)
    return worker


def leave(hooks, worker, code):
    """End a worker as Gunicorn does: by SystemExit, and its hook in a `finally`."""
    try:
        raise SystemExit(code)
    except SystemExit:
        hooks.worker_exit(None, worker)


def test_a_worker_gets_the_first_free_place_and_its_successor_the_same(hooks):
    one, two = Worker(pid=1), Worker(pid=2)
    forked(hooks, master(), one)
    forked(hooks, master(one), two)
    assert (one.place, two.place) == ("a-0", "a-1")
    assert forked(hooks, master(two), Worker(pid=3)).place == "a-0"


def test_a_worker_that_starts_and_ends_in_good_order_is_recorded_so(hooks):
    core = Core()
    worker = forked(hooks, master(), Worker(core))
    hooks.post_worker_init(worker)
    leave(hooks, worker, 0)
    hooks.child_exit(None, worker)
    assert core.events == [("sys_startup", 4711), ("sys_shutdown", 4711)]
    assert core.calls == [("start_worker", 4), "rest", "close"]
    assert forked(hooks, master(), Worker()).unrecorded == ()


@pytest.mark.parametrize("code", [1, -1])
def test_a_worker_that_ends_by_a_fault_is_recorded_as_a_crash(hooks, code):
    core = Core(fails={"rest"})
    worker = forked(hooks, master(), Worker(core))
    hooks.post_worker_init(worker)
    leave(hooks, worker, code)
    assert core.events[-1] == ("sys_crash", 4711)


def test_of_a_killed_worker_its_successor_tells_and_only_once(hooks):
    killed = forked(hooks, master(), Worker(Core()))
    hooks.post_worker_init(killed)
    hooks.child_exit(None, killed)
    core = Core()
    successor = forked(hooks, master(), Worker(core, pid=4712))
    hooks.post_worker_init(successor)
    assert core.events == [("sys_crash", 4711), ("sys_startup", 4712)]
    assert forked(hooks, master(), Worker()).unrecorded == ()


def test_what_could_not_be_recorded_goes_to_the_next(hooks):
    """The disk was full when the successor started, and it was killed as well."""
    killed = forked(hooks, master(), Worker(Core()))
    hooks.child_exit(None, killed)
    second = forked(hooks, master(), Worker(Core(fails={"sys_crash"}), pid=4712))
    hooks.post_worker_init(second)
    hooks.child_exit(None, second)
    core = Core()
    third = forked(hooks, master(), Worker(core, pid=4713))
    hooks.post_worker_init(third)
    assert core.events == [("sys_crash", 4711), ("sys_crash", 4712), ("sys_startup", 4713)]


def test_a_worker_without_the_application_is_left_alone(hooks):
    worker = forked(hooks, master(), Worker())
    hooks.post_worker_init(worker)
    hooks.worker_exit(None, worker)


def test_the_old_master_ends_when_the_last_worker_of_the_new_one_serves(hooks, monkeypatch):
    ended, told = [], []
    monkeypatch.setattr(lifecycle.os, "kill", lambda pid, number: ended.append((pid, number)))
    monkeypatch.setattr(
        lifecycle.gunicorn.systemd, "sd_notify", lambda state, log: told.append(state)
    )
    server = master(master_pid=os.getppid())
    one = forked(hooks, server, Worker(pid=1))
    server.WORKERS[1] = one
    two = forked(hooks, server, Worker(pid=2))
    hooks.post_worker_init(two)
    assert (ended, told) == ([], [])
    hooks.post_worker_init(one)
    assert ended == [(os.getppid(), signal.SIGTERM)]
    assert told == [f"MAINPID={os.getppid()}"]


def test_a_promoted_master_has_no_predecessor_to_end(hooks):
    assert forked(hooks, master(master_pid=os.getppid() + 1), Worker()).predecessor == 0


def test_generations_alternate_so_that_files_of_counters_do_not_grow(hooks):
    server = master()
    hooks.pre_exec(server)
    assert server.cfg.env_orig[lifecycle._GENERATION] == "b"
    hooks.pre_exec(server)
    assert server.cfg.env_orig[lifecycle._GENERATION] == "a"


def test_the_next_master_runs_with_the_python_of_the_release_in_use(hooks, monkeypatch, tmp_path):
    """The link was made to lead to another release since this process began."""
    for name in ("first", "second"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").touch()
    link = tmp_path / "current"
    link.symlink_to("first")
    program = link / "bin" / "gunicorn"
    monkeypatch.setattr(lifecycle.sys, "argv", [str(program)])
    link.unlink()
    link.symlink_to("second")
    server = master()
    hooks.pre_exec(server)
    python = str(tmp_path / "second" / "bin" / "python")
    assert (server.START_CTX[0], server.START_CTX["args"][:2]) == (python, [python, str(program)])


@pytest.mark.parametrize("script", ["bin/gunicorn", "/nowhere/bin/gunicorn"])
def test_a_program_without_a_python_beside_it_is_run_by_the_same_one(script):
    assert lifecycle.interpreter(Path(script), "/usr/bin/python3") == "/usr/bin/python3"


def test_the_sockets_of_systemd_are_laid_where_the_next_master_looks(hooks, monkeypatch):
    laid = []
    server = master()
    with Path(os.devnull).open("rb") as first, Path(os.devnull).open("rb") as second:
        server.systemd, server.LISTENERS = True, [first, second]
        with monkeypatch.context() as patched:
            patched.setattr(lifecycle, "_FIRST_FD", 200)
            patched.setattr(
                lifecycle.os,
                "dup2",
                lambda held, number, *, inheritable: laid.append((held > 63, number, inheritable)),
            )
            hooks.pre_exec(server)
    assert laid == [(True, 200, True), (True, 201, True)]


@pytest.mark.parametrize(("predecessor", "left"), [(0, 0), (4000, 1)])
def test_counters_begin_empty_unless_another_master_still_counts(
    hooks, monkeypatch, tmp_path, predecessor, left
):
    monkeypatch.setenv(COUNTERS, str(tmp_path))
    (tmp_path / "counter_a-0.db").write_bytes(b"x")
    hooks.on_starting(master(master_pid=predecessor))
    assert len(list(tmp_path.glob("*.db"))) == left


def test_the_hangup_signal_starts_a_successor_as_well(hooks):
    server = master()
    hooks.on_starting(server)

    assert server.handle_hup() == "a successor is started"


def test_the_first_process_of_a_container_has_no_successor(monkeypatch, caplog):
    """The container would end with it, and all requests in it."""
    monkeypatch.setattr(lifecycle.os, "getpid", lambda: 1)
    server = master()
    Lifecycle(SETTINGS).on_starting(server)
    for ask in (server.handle_hup, server.handle_usr2):
        caplog.clear()
        assert ask() is None
        assert "fix: replace the container" in caplog.text


def test_an_exposed_address_stops_the_master_before_it_serves(hooks):
    server = master()
    server.cfg.address = [("0.0.0.0", 8000)]
    with pytest.raises(SystemExit, match=r"^secureml: .*can be reached without Nginx"):
        hooks.on_starting(server)
    server.LISTENERS = [SimpleNamespace(getsockname=lambda: ("192.0.2.1", 8000))]
    with pytest.raises(SystemExit, match=r"192\.0\.2\.1 can be reached"):
        hooks.when_ready(server)
