"""``secureml serve``: the whole application on this machine, for development.

Gunicorn on a private socket and, where Nginx is installed, Nginx in front of it with the
bundled configuration. Without Nginx, Gunicorn terminates TLS itself with the same protocol
floor, and says so. Whatever was started is stopped, Nginx first: it takes the requests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import sys
import time
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import click

from secureml.cli import certificates, nginx_files, welcome
from secureml.cli.main import CommandContext
from secureml.cli.processes import Running
from secureml.config_error import ConfigError
from secureml.kit.networks import is_loopback
from secureml.kit.output import json_option
from secureml.pipeline import proxy

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds a start may take before it counts as failed


@click.command()
@click.option("--port", default=8443, show_default=True, type=click.IntRange(1, 65535))
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--no-nginx", is_flag=True, help="Let Gunicorn terminate TLS even if Nginx is installed."
)
@click.option(
    "--welcome",
    "model",
    metavar="MODEL",
    help="When ready, issue a key and print a curl command that queries MODEL.",
)
@json_option
@click.pass_obj
def serve(
    context: CommandContext, port: int, bind: str, no_nginx: bool, model: str | None, as_json: bool
) -> None:
    """Serve over HTTPS until Ctrl-C, then stop all processes."""
    instance, tls = context.instance, context.instance / "tls"
    settings = context.core.settings  # a bad setting is reported before anything runs
    nginx = None if no_nginx else _find_nginx()
    if nginx is None:
        _refuse_bare(context, bind)  # first: what only a server needs is nothing to mend for none
    certificates.check(
        tls / "server.crt",
        tls / "server.key",
        certificates.utc_now(),
        production=settings.production,
    )
    _require_model(context, model)
    _clear_sockets(instance / "run")
    _check_port(bind, port)
    front = _nginx_command(context, nginx, bind, port) if nginx else None
    running = Running(CHECKOUT, instance)
    try:
        running.start(
            _gunicorn(None if front else f"{nginx_files.bracketed(bind)}:{port}", instance)
        )
        if front:
            _wait_for_socket(running, instance / "run" / "gunicorn.sock")
            # Nginx's SIGTERM cuts off whatever it is answering; after SIGQUIT it finishes first.
            running.start(front, stop=signal.SIGQUIT)
        _wait_until_ready(running, tls / "ca.crt", bind, port)
        _announce(context, port, nginx=front is not None, model=model, as_json=as_json)
        running.watch()
    except KeyboardInterrupt:
        click.echo("stopping", err=True)
    finally:
        running.stop()


def _nginx_command(context: CommandContext, nginx: str, bind: str, port: int) -> list[str]:
    settings, required = context.core.settings, proxy.required(context.core.plugins)
    largest = nginx_files.largest_body(settings, context.core.models)
    return nginx_files.command(nginx, settings, required, CHECKOUT, bind, port, largest)


def _require_model(context: CommandContext, name: str | None) -> None:
    names = context.core.models.names_on_disk()
    if not names or (name and name not in names):
        raise ConfigError(
            f"there is no model {name!r}" if names else "no model is sealed yet",
            file=str(context.core.settings.models_folder),
            fix="run `secureml models seal FILE --name NAME`, or `secureml models demo`",
        )


def _refuse_bare(context: CommandContext, bind: str) -> None:
    """Gunicorn alone has few threads and no ceilings: eight half-sent requests occupy them all."""
    fix = "install Nginx (apt-get install nginx-light) and omit --no-nginx"
    if context.core.settings.production:
        raise ConfigError(
            "the production profile needs Nginx: without it, a few slow clients could block "
            "every thread",
            file=context.core.settings.file,
            table="secureml",
            key="profile",
            fix=f'{fix}; to try it on this machine only, set profile = "development"',
        )
    if not is_loopback(bind):
        raise ConfigError(
            f"without Nginx the server may listen on loopback only, and {bind} is not loopback",
            fix=f"{fix}; or use --bind 127.0.0.1",
        )


def _gunicorn(tls_address: str | None, instance: Path) -> list[str]:
    config = str(CHECKOUT / "deploy" / "gunicorn.conf.py")
    # Where we bind is said here: [server] bind is for production, whose Nginx knows of it.
    bind = tls_address or f"unix:{instance}/run/gunicorn.sock"
    # -P: the folder that `serve` was started in is no place to import from.
    command = [sys.executable, "-P", "-m", "gunicorn", "-c", config, "--bind", bind]
    if tls_address:
        tls = instance / "tls"
        command += ["--certfile", str(tls / "server.crt"), "--keyfile", str(tls / "server.key")]
    return command


def _find_nginx() -> str | None:
    # Debian keeps it where an ordinary user's PATH does not look.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _clear_sockets(folder: Path) -> None:
    """Remove what a killed server left behind; refuse a folder whose sockets cannot be bound."""
    for name in ("gunicorn.sock", "http.sock", "status.sock"):
        path = folder / name
        # The kernel's sockaddr_un holds 108 bytes, the closing zero among them.
        if len(os.fsencode(path)) > 107:
            raise ConfigError(
                "the path is too long for a unix socket",
                file=str(path),
                fix="use an instance folder with a shorter path",
            )
        _refuse_living(path)
        path.unlink(missing_ok=True)


def _refuse_living(path: Path) -> None:
    """Refuse to take a socket from a server that still answers on it."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise ConfigError(
        "another server is running in this instance folder",
        file=str(path),
        fix="stop it, or name another folder with --instance",
    )


def _check_port(bind: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {bind}:{port} ({error.strerror})",
                fix="choose another port with --port",
            ) from None


def _wait_for_socket(running: Running, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < deadline:
        running.demand_start()
        time.sleep(0.02)


def _wait_until_ready(running: Running, authority: Path, bind: str, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        running.demand_start()
        if _is_ready(authority, bind, port):
            return
        time.sleep(0.03)
    raise click.ClickException(f"the server was not ready within {PATIENCE:.0f} seconds")


def _is_ready(authority: Path, bind: str, port: int) -> bool:
    context = ssl.create_default_context(cafile=str(authority))
    context.check_hostname = False  # --bind may be an address that the certificate does not name
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104 - compared, not bound
    connection = HTTPSConnection(address, port, timeout=2, context=context)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _announce(
    context: CommandContext, port: int, *, nginx: bool, model: str | None, as_json: bool
) -> None:
    authority = context.instance / "tls" / "ca.crt"
    ready = {"address": f"https://localhost:{port}", "authority": str(authority)}
    if not as_json:
        click.echo(f"address    {ready['address']}\nauthority  {ready['authority']}")
    if not nginx:
        click.echo(
            "Nginx is not used: Gunicorn terminates TLS itself. For development only: no limits "
            "on connections and requests per address.",
            err=True,
        )
    if model:
        ready |= welcome.greet(context.core, model, port)
    if as_json:
        # One line: a reader must not wait for the end of the output, which comes with Ctrl-C.
        click.echo(json.dumps({**ready, "nginx": nginx}))
    elif model:
        click.echo(f"API key    {ready['key']}\n\n{ready['curl']}")
