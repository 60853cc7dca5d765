"""``secureml init``: make an instance folder that starts, and never overwrite one that exists."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from marshmallow import ValidationError

from secureml.cli import certificates
from secureml.cli.main import CommandContext
from secureml.config_error import ConfigError
from secureml.kit.output import emit, json_option
from secureml.layout import SEALING_KEY, STORE_FOLDER, make_folders, write_new
from secureml.pipeline import builtin_plugins
from secureml.state.fields import HostName

if TYPE_CHECKING:
    from secureml.kit.instance_file import InstanceFile

LOCAL = ["localhost", "127.0.0.1", "::1"]

SETTINGS = """\
# Every key is described in docs/settings.md and secureml.example.toml;
# an unknown key stops the start. `secureml check` shows what is wrong.

[secureml]
profile = "{profile}"
plugins = [{plugins}]

[plugins.transport]
trusted = ["unix"]
hosts = [{hosts}]
direct = {direct}
edge_token = "file:keys/edge-token"

[plugins.audit_log]
key = "file:keys/audit.key"
checkpoint_key = "file:keys/audit-checkpoint.key"
"""

# SQLite writes beside its file, so in production it gets a folder of its own: the service may
# then write there and into logs/, and nowhere else. The path is relative to the instance folder: an
# absolute one would lead a restored copy in another folder to the store of the first.
STORE = """
[store]
url = "sqlite:///{folder}/secureml.db"

[plugins.rate_limit]
counters = "{folder}/counters.db"
budgets = "{folder}/budgets.db"
"""


def _hosts(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    # They are written into settings, a certificate and what Nginx reads.
    for name in names:
        try:
            HostName().deserialize(name)
        except ValidationError as error:
            raise click.BadParameter(f"{name[:80]!r}: {error.messages[0]}") from None
    return names


@click.command()
@click.option(
    "--profile",
    type=click.Choice(["development", "production"]),
    default="development",
    show_default=True,
    help="For production no certificate is made: set yours in deploy/nginx/certificate.conf.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    callback=_hosts,
    help="Host name of this server; repeatable. Default: localhost.",
)
@json_option
@click.pass_obj
def init(context: CommandContext, profile: str, hosts: tuple[str, ...], as_json: bool) -> None:
    """Make the instance folder: settings, keys and, for development, certificates."""
    instance = context.instance
    development = profile == "development"
    names = [*hosts, *(LOCAL if development else [])]
    if not names:
        raise click.UsageError("production needs the public name of this server: --host NAME")
    made = make_folders(instance)
    if development and certificates.make(instance / "tls", names, certificates.utc_now()):
        made.append("tls/server.crt")
    text = SETTINGS.format(
        profile=profile,
        plugins=_wrapped(builtin_plugins.DEFAULT),
        hosts=", ".join(f'"{name}"' for name in names),
        direct=str(development).lower(),
    )
    if not development and not (instance / "secureml.toml").exists():
        text += _store(instance)
    if write_new(instance / "secureml.toml", text.encode(), 0o640):
        made.append("secureml.toml")
    made += _files_of_plugins(instance)
    made += _store_and_first_key(instance)
    emit(
        {"instance": str(instance), "made": made},
        as_json,
        f"{instance}: "
        + (f"made {', '.join(made)}" if made else "nothing to make: everything is there"),
    )


def _store(instance: Path) -> str:
    """Make the folder of the store and return the table that names it."""
    folder = instance / STORE_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return STORE.format(folder=STORE_FOLDER)


def _wrapped(names: Sequence[str]) -> str:
    """Return the list of plugins in lines that fit under ``plugins = [``."""
    text = ", ".join(f'"{name}"' for name in names)
    return f"\n{' ' * len('plugins = [')}".join(textwrap.wrap(text, 85))


def _files_of_plugins(instance: Path) -> list[str]:
    """Make what the plugins of the settings declare, and the key that seals models."""
    from secureml import settings
    from secureml.pipeline import file_claims, loader

    found = settings.read(instance)
    try:
        owned = file_claims.files(loader.find(found.plugins))
    except ConfigError as error:
        raise error.within(file=found.file) from None
    made = make_folders(instance, [file for file in owned if file.folder])
    for file in owned:
        if file.make is not None and not (instance / file.path).exists():
            write_new(instance / file.path, file.make(), file.mode)
            made.append(file.path)
    return made + _sealing_key(instance, [file for file in owned if file.public_sealing_key])


def _sealing_key(instance: Path, halves: Sequence[InstanceFile]) -> list[str]:
    """Make the key that seals models; ``halves`` are where plugins want its public half."""
    from secureml.models.artifact import signature

    private, publics = instance / SEALING_KEY, [instance / half.path for half in halves]
    # A machine that only serves has the public half alone: its private half is elsewhere.
    if any(path.exists() for path in (private, *publics)):
        return []
    key = signature.generate_key()
    write_new(private, signature.private_pem(key), 0o600)
    for half in halves:
        write_new(instance / half.path, signature.public_pem(key.public_key()), half.mode)
    return [SEALING_KEY, *(half.path for half in halves)]


def _store_and_first_key(instance: Path) -> list[str]:
    """Make the store and the key that signs tokens, unless this instance has them already."""
    from secureml import settings, store_location
    from secureml.state.signing import SigningKeys
    from secureml.state.store import Store, StoreUnavailable

    found = settings.read(instance)
    made = []
    if (file := found.store_file) is not None:
        store_location.check_own(file, instance, found.file)
        made += [] if file.exists() else [_within(file, instance)]
    store = Store(found.store_url)
    ring = SigningKeys(store, instance / settings.SIGNING_FOLDER, time.time, found.signing)
    try:
        if not ring.list():
            made.append(f"{settings.SIGNING_FOLDER}/{ring.rotate().kid}.pem")
    except StoreUnavailable as error:
        raise ConfigError(
            str(error),
            file=str(instance / settings.FILE),
            table="store",
            key="url",
            fix="correct [store] url, then run `secureml init` again",
        ) from None
    finally:
        store.close()
    return made


def _within(file: Path, instance: Path) -> str:
    return str(file.relative_to(instance) if file.is_relative_to(instance) else file)
