"""How Gunicorn serves the application: a private socket, no trust, and no words of its own.

    gunicorn -c deploy/gunicorn.conf.py

Site values come from the optional ``[server]`` table of ``<instance>/secureml.toml``
(workers, threads, bind, timeout); everything else is fixed here, because each line answers an
attack or a failure and none depends on the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import logging
import mmap
import os
import runpy
import secrets
import signal
import ssl
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gunicorn.http.wsgi  # type: ignore[import-untyped]  # ships no types
import gunicorn.systemd  # type: ignore[import-untyped]  # the same
import gunicorn.util  # type: ignore[import-untyped]  # the same

# The master loads scikit-learn and then forks (preload_app). A maths library that has already
# started a thread pool deadlocks in the child, and workers x pool threads would fight for the
# same cores. This must stand before anything imports numpy: the libraries read it once.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

# Where the workers' counters lie. The library reads the name once, when it is first imported.
_COUNTERS = "PROMETHEUS_MULTIPROC_DIR"

_DEFAULTS: dict[str, Any] = {"workers": 2, "threads": 4, "bind": "", "timeout": 30}
_DEFAULTS["nginx"] = "/etc/nginx/deploy/nginx"  # for `secureml check`; nothing here reads it

# What Gunicorn may have to say before the application sees a request; words as in the catalogue
# of secureml/pipeline/problems.py, which is not imported here: this file loads before it can.
_PROBLEMS = {
    400: ("malformed_request", "The request is malformed"),
    403: ("forbidden", "This credential may not do this"),
    414: ("uri_too_long", "The address is too long"),
    431: ("headers_too_large", "The request headers are too large"),
    500: ("internal_error", "The server failed to answer"),
    501: ("method_not_implemented", "The server does not know this method"),
}


def _settings(file: Path) -> dict[str, Any]:
    """Return the settings as they are written; a file that is no TOML stops the start."""
    try:
        return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"{file}: {error}; fix: make it readable TOML in UTF-8")


def _server_table(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return ``[server]`` over the defaults; a bad value stops the start in one line."""
    table = settings.get("server", {})
    if not isinstance(table, dict):
        sys.exit(f"{file}: [server]: must be a table; fix: write [server] on a line of its own")
    for key, value in table.items():
        if key not in _DEFAULTS:
            known = ", ".join(_DEFAULTS)
            sys.exit(f"{file}: [server] {key}: unknown key; fix: use only {known}")
        number = type(_DEFAULTS[key]) is int
        if type(value) is not type(_DEFAULTS[key]) or (number and value < 1):
            kind = "a whole number of at least 1" if number else "an address such as unix:/path"
            sys.exit(f"{file}: [server] {key}: {value!r} is refused; fix: give {kind}")
    return _DEFAULTS | table


def _write_problem(sock: Any, status_int: int, reason: str, mesg: str) -> None:
    """Answer in Gunicorn's place with a problem body (RFC 9457).

    Gunicorn's page is HTML and quotes the bytes it could not parse, so an attacker would read
    their own input back; ``reason`` and ``mesg`` are dropped, and its log has them already.
    """
    del reason, mesg
    status = status_int if status_int in _PROBLEMS else 400
    code, title = _PROBLEMS[status]
    body = {"type": f"urn:secureml:problem:{code}", "title": title, "status": status}
    body |= {"code": code, "id": secrets.token_hex(16)}
    logging.getLogger("gunicorn.error").info("answered %s, id %s", code, body["id"])
    content = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} {title}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    gunicorn.util.write_nonblock(sock, head.encode() + content)


gunicorn.util.write_error = _write_problem
# Nginx drops this header; where Gunicorn faces the client itself, it need not name its kind.
gunicorn.http.wsgi.SERVER = "secureml"

_instance = Path(os.environ.get("SECUREML_INSTANCE", "instance")).absolute()
_file = _instance / "secureml.toml"
_written = _settings(_file)
_server = _server_table(_written, _file)

wsgi_app = "wsgi:application"
chdir = str(Path(__file__).absolute().parent.parent)  # the checkout, where wsgi.py stands
# Started in some folder, Gunicorn would import from it too.
runpy.run_path(f"{chdir}/secureml/import_path.py")["leave_working_directory"]()

# --- Who may connect -------------------------------------------------------------------------
# A unix socket: nothing on the network, not even this machine's loopback, can skip Nginx.
# Under systemd's secureml.socket the listening socket is inherited and this line is ignored.
bind = _server["bind"] or f"unix:{_instance}/run/gunicorn.sock"
umask = 0o117  # the socket becomes 0660; Gunicorn uses it for nothing else that we have
# Connections in waiting; beyond it Nginx is refused at once, and whoever asks gets 502. So it is
# what a process of Nginx may open twice over (worker_connections), and what forty addresses at
# their ceiling (limit_conn) may have waiting. As many as Linux allows unless told otherwise; the
# same number stands in secureml.socket.
backlog = 4096

# --- Whom we believe: nobody ------------------------------------------------------------------
# Over a unix socket Gunicorn trusts every peer, whatever forwarded_allow_ips says. Trust is
# decided once, in plugins/transport, so its own three ways to believe a header are emptied.
secure_scheme_headers: dict[str, str] = {}  # else X-Forwarded-Proto: https changes the scheme
forwarder_headers = ""  # else a SCRIPT_NAME header moves the path past the routes' policies
header_map = "drop"  # X_Api_Key must never arrive as X-Api-Key
# Since 25.1 Gunicorn opens a command socket in the service user's home unless told not to.
control_socket_disable = True


def _refuse_exposed(addresses: list[Any], *, tls: bool) -> None:
    """Stop where clients could come past Nginx, which alone holds off those that are slow.

    A handful of them would occupy every thread here. So Gunicorn listens on unix sockets and
    loopback alone, and in production never terminates TLS, which is Nginx's.
    """
    for address in addresses:
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            sys.exit(
                f"secureml: {_file}: [server] bind: {address[0]} can be reached past Nginx; fix: "
                "leave bind empty, for a unix socket, or bind 127.0.0.1, and let Nginx listen"
            )
    core = _written.get("secureml")
    profile = core.get("profile", "production") if isinstance(core, dict) else "production"
    if tls and profile == "production":
        sys.exit(
            f"secureml: {_file}: [secureml] profile: production is served behind Nginx, and here "
            "Gunicorn has a certificate of its own; fix: leave --certfile and --keyfile out"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


# --- TLS, where there is no Nginx in front (`secureml serve --no-nginx`) -----------------------


def ssl_context(config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the same floor as nginx.conf: Mozilla's intermediate profile, version 6.0."""
    del config
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
        "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    )
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    return context


# --- How much one request may be --------------------------------------------------------------
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190

# --- Processes --------------------------------------------------------------------------------
workers = _server["workers"]
# gthread keeps connections from Nginx open, where the sync worker closes each one; ours hands a
# request to a thread only where others would have to wait for it.
worker_class = "secureml.workers.inline_thread.QuickWorker"
threads = _server["threads"]
preload_app = True  # one model in memory for all workers, and a bad setting stops the start
# A heartbeat file on a slow disk can stall a worker until it is killed as dead.
_shm = "/dev/shm"  # noqa: S108 - the file there is anonymous and nothing is read from it
worker_tmp_dir = _shm if os.access(_shm, os.W_OK) else None

# --- Times, in seconds ------------------------------------------------------------------------
# `timeout` ends a worker whose main loop hangs (native code that holds the GIL). nginx.conf
# waits five seconds longer, so the client hears of it from us first.
timeout = _server["timeout"]
graceful_timeout = 30  # what a stopping worker may take to finish what it has begun
# Longer than Nginx keeps idle upstream connections (60 s): the side that sends must be the one
# that closes, or a request meets a closing socket and the client gets 502.
keepalive = 75
# Workers are not recycled after N requests: that hides leaks instead of showing them, and drops
# warm connections. An operator who must may set it with --max-requests and its jitter.
max_requests = 0

# --- Words ------------------------------------------------------------------------------------
errorlog = "-"
accesslog = None  # plugins/access_log writes one line per request; two would disagree

# --- The life of a worker ---------------------------------------------------------------------
# What the plugins do in it is theirs; here they are told. Counters of all workers lie side by
# side in files, so that any worker answers for all. A worker has a place, and who replaces it
# goes on with the counters of that place: none goes down, and their number stays the same
# however often workers end.
_core = _written.get("secureml")
if isinstance(_core, dict) and "metrics" in _core.get("plugins", []):
    os.environ[_COUNTERS] = str(_instance / "run" / "metrics")
else:
    os.environ.pop(_COUNTERS, None)


# --- The next generation (SIGUSR2) ------------------------------------------------------------
# The application is loaded before the workers fork, so new code, settings and models need a new
# master. Gunicorn starts one beside the old one when it gets SIGUSR2, and both take requests from
# the same socket; the successor ends the old one when its own workers serve, and not before. One
# that cannot start leaves the old one as it is. deploy/reload_gunicorn.py does it for systemd.

_GENERATION = "SECUREML_GENERATION"  # which of two the master is: they alternate
_FIRST_FD = 3  # where systemd lays the sockets that it passes on (sd_listen_fds(3))
_serving = mmap.mmap(-1, mmap.PAGESIZE)  # a byte for each place: its worker serves


def pre_exec(server: Any) -> None:
    """Hand the sockets and the turn to the master that this process is about to become."""
    environment = server.cfg.env_orig
    environment[_GENERATION] = "b" if environment.get(_GENERATION, "a") == "a" else "a"
    if not server.systemd:
        return  # Gunicorn names their numbers itself
    # It looks for systemd's sockets where systemd puts them, but has moved them since. First out
    # of the way, so that none is written over.
    held = [fcntl.fcntl(listener, fcntl.F_DUPFD, 64) for listener in server.LISTENERS]
    for number, descriptor in enumerate(held, _FIRST_FD):
        os.dup2(descriptor, number, inheritable=True)


def _take_over(worker: Any) -> None:
    """End the old master once every worker of the new one serves; said by the last of them."""
    _serving[worker.number] = 1
    if not worker.predecessor or not all(_serving[: worker.cfg.workers]):
        return
    # systemd must know whom to watch before the one it watched is gone.
    gunicorn.systemd.sd_notify(f"MAINPID={os.getppid()}", worker.log)
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.predecessor, signal.SIGTERM)


def on_starting(server: Any) -> None:
    """Begin with empty counters, unless another master still counts (an upgrade by USR2)."""
    _refuse_exposed(server.cfg.address, tls=server.cfg.is_ssl)
    if _COUNTERS in os.environ and not server.master_pid:
        for old in Path(os.environ[_COUNTERS]).glob("*.db"):
            old.unlink()


def when_ready(server: Any) -> None:
    """Look at the sockets that were handed over as well; no worker takes requests yet."""
    names = [listener.getsockname() for listener in server.LISTENERS]
    _refuse_exposed(names, tls=server.cfg.is_ssl)


# The master keeps no records: whatever it opened, its workers would inherit. A worker says of
# itself that it serves and that it stops; of one that could say nothing its successor tells.
# What has been said stands in two bytes that master and worker share.
_START_RECORDED, _END_RECORDED = 0, 1
_lost: list[int] = []  # pids of workers that ended without a word


def pre_fork(server: Any, worker: Any) -> None:
    """Give a worker that is about to be made the first place that is free, and the lost."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(n for n in range(len(taken) + 1) if n not in taken)
    # Two generations count side by side while one takes over from the other; the third goes on
    # with the files of the first, so that their number does not grow with each.
    worker.place = f"{os.environ.get(_GENERATION, 'a')}-{worker.number}"
    worker.said = mmap.mmap(-1, 2)
    # Who was promoted has no predecessor any more, and its number may be somebody else's by now.
    worker.predecessor = server.master_pid if server.master_pid == os.getppid() else 0
    worker.lost = tuple(_lost)
    _lost.clear()


def post_fork(server: Any, worker: Any) -> None:
    """Have the worker count in the files of its place, before anything is counted."""
    del server
    if _COUNTERS in os.environ:
        from prometheus_client import values  # noqa: PLC0415 - reads its folder at import

        values.ValueClass = values.MultiProcessValue(lambda: worker.place)


def post_worker_init(worker: Any) -> None:
    """Tell the plugins that the worker is ready to serve."""
    core = _core_of(worker)
    if core is not None:
        _begin(worker, core)
    _take_over(worker)


def _begin(worker: Any, core: Any) -> None:
    core.start_worker(worker.cfg.threads)
    recorded = [_record(core, "sys_crash", pid) for pid in worker.lost]
    if _record(core, "sys_startup", worker.pid) and all(recorded):
        worker.said[_START_RECORDED] = 1


def worker_exit(server: Any, worker: Any) -> None:
    """Say in the worker that it ends, in good order or not."""
    del server
    core = _core_of(worker)
    if core is None or not worker.booted:
        return
    # First what the worker has only counted: after its own end it would speak of nothing more.
    try:
        core.rest()
    except Exception:
        logging.getLogger("gunicorn.error").exception("%d could not tell its numbers", worker.pid)
    # Gunicorn leaves by SystemExit: 0 when asked to, 1 when it took too long, -1 after a fault.
    code = getattr(sys.exc_info()[1], "code", None)
    if _record(core, "sys_crash" if code else "sys_shutdown", worker.pid):
        worker.said[_END_RECORDED] = 1
    core.close()


def _core_of(worker: Any) -> Any:
    return getattr(getattr(worker, "wsgi", None), "extensions", {}).get("secureml")


def _record(core: Any, name: str, pid: int) -> bool:
    """Let all who keep records know; a disk that is full must not keep the server from starting."""
    from secureml import Event  # noqa: PLC0415 - this file is read before it can be imported

    try:
        core.emit(Event(name, "", {"pid": pid}))
    except Exception:
        logging.getLogger("gunicorn.error").exception("%s of %d could not be recorded", name, pid)
        return False
    return True


def child_exit(server: Any, worker: Any) -> None:
    """Take what only a living worker says of itself from the files of its place."""
    del server
    if not worker.said[_START_RECORDED]:
        _lost.extend(worker.lost)
    if not worker.said[_END_RECORDED]:
        _lost.append(worker.pid)
    worker.said.close()
    if _COUNTERS in os.environ:
        from prometheus_client import multiprocess  # noqa: PLC0415 - likewise

        multiprocess.mark_process_dead(worker.place)
