"""``secureml serve``: the whole house on this machine, for development.

Gunicorn on a private socket and, where Nginx is installed, Nginx in front of it with the
bundled configuration. Without Nginx, Gunicorn terminates TLS itself with the same protocol
floor, and says so. Whatever was started is stopped, Nginx first: it takes the requests.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import click

from secureml.cli import certificates, edge, welcome
from secureml.cli.main import Desk
from secureml.config_error import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
PATIENCE = 60.0  # seconds a start may take before it counts as failed


@click.command()
@click.option("--port", default=8443, show_default=True, type=click.IntRange(1, 65535))
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--no-nginx", is_flag=True, help="Let Gunicorn terminate TLS even if Nginx is here.")
@click.option(
    "--welcome",
    "model",
    metavar="MODEL",
    help="When ready, issue a key and print a curl line that asks MODEL.",
)
@click.pass_obj
def serve(desk: Desk, port: int, bind: str, no_nginx: bool, model: str | None) -> None:
    """Serve over HTTPS until Ctrl-C, then stop all that was started."""
    instance = desk.instance
    _ = desk.house  # a bad setting is told before anything runs
    tls = instance / "tls"
    certificates.check(tls / "server.crt", tls / "server.key", certificates.utc_now())
    _clear_sockets(instance / "run")
    _check_port(bind, port)
    nginx = None if no_nginx else _find_nginx()
    running = _Running()
    # SIGINT as well: a shell that starts us in the background has it ignored.
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        running.start(_gunicorn(None if nginx else f"{bind}:{port}", tls), instance)
        if nginx:
            _wait_for_socket(running, instance / "run" / "gunicorn.sock")
            running.start(edge.command(nginx, instance, CHECKOUT, bind, port), instance)
        _wait_until_ready(running, tls / "ca.crt", bind, port)
        _announce(port, tls, nginx)
        if model:
            click.echo(welcome.text(desk.instance, model, port))
        running.watch()
    except KeyboardInterrupt:
        click.echo("stopping", err=True)
    finally:
        running.stop()


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Have the kernel end a child with us, even where we are killed and cannot (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _Running:
    """The processes of this command, each in a group of its own, so that we end them in order."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], instance: Path) -> None:
        environment = os.environ | {"SECUREML_INSTANCE": str(instance)}
        self._processes.append(
            subprocess.Popen(  # noqa: S603 - our own programs, no shell
                command,
                cwd=CHECKOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
            )
        )

    def ended(self) -> int | None:
        """Return the exit code of a process that has ended, None while all run."""
        return next(
            (code for process in self._processes if (code := process.poll()) is not None), None
        )

    def watch(self) -> None:
        while (code := self.ended()) is None:
            time.sleep(0.5)
        raise click.ClickException(f"a server ended unexpectedly with exit code {code}")

    def stop(self) -> None:
        """End them in reverse: the one that takes requests first."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # impatience must not leave one behind
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _gunicorn(tls_address: str | None, tls: Path) -> list[str]:
    config = str(CHECKOUT / "deploy" / "gunicorn.conf.py")
    command = [sys.executable, "-m", "gunicorn", "-c", config]
    if tls_address:
        command += [
            "--bind",
            tls_address,
            "--certfile",
            str(tls / "server.crt"),
            "--keyfile",
            str(tls / "server.key"),
        ]
    return command


def _find_nginx() -> str | None:
    # Debian keeps it where an ordinary user's PATH does not look.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _clear_sockets(folder: Path) -> None:
    """Remove what a killed server left behind; refuse a folder whose sockets cannot be bound."""
    for name in ("gunicorn.sock", "http.sock"):
        path = folder / name
        # The kernel's sockaddr_un holds 108 bytes, the closing zero among them.
        if len(os.fsencode(path)) > 107:
            raise ConfigError(
                "the path is too long for a unix socket",
                file=str(path),
                fix="use an instance folder with a shorter path",
            )
        path.unlink(missing_ok=True)


def _check_port(bind: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {bind}:{port} ({error.strerror})",
                fix="choose another with --port",
            ) from None


def _wait_for_socket(running: _Running, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < deadline:
        _stop_if_ended(running)
        time.sleep(0.05)


def _stop_if_ended(running: _Running) -> None:
    if running.ended() is not None:
        # Its own last line, on stderr, says why.
        raise click.ClickException("the server did not start; the line above says why")


def _wait_until_ready(running: _Running, authority: Path, bind: str, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        _stop_if_ended(running)
        if _is_ready(authority, bind, port):
            return
        time.sleep(0.1)
    raise click.ClickException(f"the server was not ready within {PATIENCE:.0f} seconds")


def _is_ready(authority: Path, bind: str, port: int) -> bool:
    context = ssl.create_default_context(cafile=str(authority))
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104 - compared, not bound
    connection = HTTPSConnection(address, port, timeout=2, context=context)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _announce(port: int, tls: Path, nginx: str | None) -> None:
    click.echo(f"address    https://localhost:{port}")
    click.echo(f"authority  {tls / 'ca.crt'}")
    if nginx is None:
        click.echo(
            "Nginx is not used: Gunicorn terminates TLS itself, which is for development "
            "only (no slow-client protection, no limits at the edge).",
            err=True,
        )
