"""``secureml reload``: the server reads settings, plugins, certificates and models anew.

As `systemctl reload` does it: a second server is started beside the first, which ends when the
second serves. One that cannot start changes nothing.
"""

from __future__ import annotations

import os
import runpy
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secureml.cli.main import CommandContext
from secureml.kit.output import emit, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from secureml.state.serving_reports import ServerReport

SERVE = "SECUREML_SERVE"  # set for the servers that `secureml serve` starts
_REPLACE = Path(__file__).resolve().parents[2] / "deploy" / "reload_gunicorn.py"


@click.command()
@json_option
@click.pass_obj
def reload(context: CommandContext, as_json: bool) -> None:
    """Have the running server read everything anew, without a dropped request.

    The whole start is tried first; if it cannot be done, the server keeps what it has. Versions of
    models, clients and keys need no reload.
    """
    from secureml.app import create_app

    create_app(context.instance, warn=False)  # raises ConfigError: then nothing is done
    master = master_of(context.core.serving.reports.alive(), socket.gethostname())
    if master is None:
        raise click.ClickException(
            "no server of this instance runs here; fix: start it, or run this where it runs and "
            "as its user"
        )
    if master == 1:
        raise click.ClickException(
            "this server is the first process of a container, which ends with it; fix: replace "
            "the container (docs/containers.md)"
        )
    if _started_by_serve(master):
        raise click.ClickException(
            "this server was started by `secureml serve`, which is for development; fix: end it "
            "with Ctrl-C and start it again"
        )
    wrong = runpy.run_path(str(_REPLACE))["replace"](master)
    if wrong:
        raise click.ClickException(wrong)
    emit({"replaced": master}, as_json, f"a new server serves; the one before ({master}) has ended")


def master_of(reports: Iterable[ServerReport], host: str) -> int | None:
    """Return the process that has started the workers of this host, None where none is alive."""
    for report in reports:
        name, _, pid = report.place.rpartition(":")
        if name == host and (parent := _parent(int(pid))) is not None:
            return parent
    return None


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    # The number may be another process's by now: nobody must be signalled for that.
    return int(stat.rpartition(")")[2].split()[1]) if b"gunicorn" in command else None


def _started_by_serve(pid: int) -> bool:
    try:
        return os.fsencode(f"{SERVE}=1") in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
