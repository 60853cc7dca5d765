"""Checks [server] bind against the folder of its socket and the trusted peers.

Each of these mistakes looks valid and leaves a server that no client can reach.
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
    """Raise ConfigError if [server] bind cannot be listened on, or if no peer there is trusted."""
    bind = settings.bind
    if bind.startswith("unix:"):
        _check_folder(Path(bind.removeprefix("unix:")), settings.file)
    bind = bind or "unix:"  # the socket in run/, or the one that systemd hands over
    for loaded in plugins:
        peers = loaded.plugin.believed_peers
        if peers and not _reaches(bind, peers):
            raise ConfigError(
                f"no peer of [server] bind ({settings.bind or 'a unix socket'}) is in "
                "this list: every request would be refused",
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
        why = f"{path} exists and is not a socket"
    except FileNotFoundError:
        if not path.parent.is_dir():
            why = f"the folder {path.parent} does not exist"
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            why = f"this user may not write to the folder {path.parent}"
        else:
            return
    except OSError as error:
        why = f"{path} cannot be inspected ({type(error).__name__})"
    raise ConfigError(
        f"the socket cannot be made: {why}",
        file=file,
        table="server",
        key="bind",
        fix=(
            "make the folder and make the user of the service its owner; or leave bind "
            "empty for the socket in run/, or if systemd listens (secureml.socket)"
        ),
    )
