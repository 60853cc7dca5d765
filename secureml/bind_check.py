"""Where Gunicorn listens, held against the folder it would listen in and the peers believed.

Each of these passes for a good setting and leaves a server that nobody can ask.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from secureml.config_error import ConfigError

if TYPE_CHECKING:
    from secureml.pipeline.loader import LoadedPlugin
    from secureml.settings import Settings

UNIX = "unix"


def check(settings: Settings, plugins: Sequence[LoadedPlugin]) -> None:
    """Raise ConfigError where nobody could listen at [server] bind, or nobody there is believed."""
    bind = settings.bind
    if bind.startswith("unix:"):
        _check_folder(Path(bind.removeprefix("unix:")), settings.file)
    bind = bind or "unix:"  # the socket in run/, or the one that systemd hands over
    for loaded in plugins:
        peers = loaded.plugin.believed_peers
        if peers and not _reaches(bind, peers):
            raise ConfigError(
                f"nobody who connects to [server] bind ({settings.bind or 'a unix socket'}) is in "
                "this list, so every request would be refused",
                file=settings.file,
                table=f"plugins.{loaded.name}",
                key="trusted",
                fix=f'add "{_peer(bind)}", or change [server] bind',
            )


def _reaches(bind: str, peers: Sequence[str]) -> bool:
    if bind.startswith("unix:"):
        return UNIX in peers
    address = ip_address(_host(bind))
    return any(address in ip_network(peer) for peer in peers if peer != UNIX)


def _peer(bind: str) -> str:
    if bind.startswith("unix:"):
        return UNIX
    address = ip_address(_host(bind))
    return f"{address}/{address.max_prefixlen}"


def _host(bind: str) -> str:
    return bind.rpartition(":")[0].strip("[]")


def _check_folder(path: Path, file: str) -> None:
    """Refuse a socket that cannot be made; one that is there was made by somebody who may."""
    try:
        if stat.S_ISSOCK(path.stat().st_mode):
            return
        why = f"{path} is something else"
    except FileNotFoundError:
        if not path.parent.is_dir():
            why = f"there is no folder {path.parent}"
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            why = f"the folder {path.parent} may not be written by this user"
        else:
            return
    except OSError as error:
        why = f"{path} cannot be looked at ({type(error).__name__})"
    raise ConfigError(
        f"no socket can be made there: {why}",
        file=file,
        table="server",
        key="bind",
        fix="make the folder and give it to the user of the service, or leave bind empty for the "
        "socket in run/, or where systemd listens (secureml.socket)",
    )
