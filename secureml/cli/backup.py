"""``secureml backup FILE``: all that an instance is, in one file, while it serves.

Taken: the instance folder with modes and owners, databases as they stand between two
transactions, and what the settings name outside it. Left out is what the core or a plugin declares
as made anew at each start (`InstanceFile.backup`). ``--system`` adds what docs/install.md puts
elsewhere: Nginx, certificates, units, logrotate. What is not in it is said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import sqlalchemy as sa

from secureml.cli import archive
from secureml.cli.main import CommandContext
from secureml.config_error import ConfigError
from secureml.kit.output import emit, json_option
from secureml.pipeline import file_claims

if TYPE_CHECKING:
    from secureml.core import Core
    from secureml.settings import Settings

SYSTEM = (
    "etc/nginx/nginx.conf",
    "etc/nginx/nginx.conf.debian",
    "etc/nginx/deploy",
    "etc/letsencrypt",
    "etc/logrotate.d/secureml",
    "etc/secureml",
    "etc/systemd/system/certbot.service.d/secureml.conf",
    "etc/systemd/system/secureml*",
    "var/lib/secureml-acme",
)
_ELSEWHERE = re.compile(r"(env|systemd|vault|aws):\S+")
_REDIS = re.compile(r"(redis|valkey)s?(\+unix)?:")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--system", is_flag=True, help="Include Nginx, certificates and systemd units; needs root."
)
@click.option(
    "--with",
    "more",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Include this file or folder; repeatable.",
)
@json_option
@click.pass_obj
def backup(
    context: CommandContext, file: Path, system: bool, more: tuple[Path, ...], as_json: bool
) -> None:
    """Save the instance in FILE, which must not exist; the server may keep running.

    FILE contains the secrets of the instance: protect it as you protect them.
    """
    outside = [path.absolute() for path in more]
    if system:
        outside += [path for name in SYSTEM for path in sorted(Path("/").glob(name))]
    manifest = save(context.core, file, outside)
    kinds = [entry.kind for entry in manifest.entries]
    data = {"file": str(file), "files": kinds.count("file"), "missing": list(manifest.missing)}
    lines = [f"{file}: {kinds.count('file')} files of {manifest.instance}"]
    lines += [f"not in it: {what}" for what in manifest.missing]
    emit(data, as_json, "\n".join(lines))


def save(core: Core, file: Path, outside: list[Path]) -> archive.Manifest:
    """Write the archive; raises ConfigError for a file that is there, OSError."""
    instance = core.settings.instance
    draft = file.with_name(f".{file.name}.part")
    if file.exists() or file.absolute().is_relative_to(instance):
        raise ConfigError(
            "the file exists already"
            if file.exists()
            else "the backup would be inside the instance",
            file=str(file),
            fix="name another",
        )
    named, missing = _named_outside(core)
    try:
        # What others may not read must not be readable for a moment either.
        with (
            archive.scratch(file.absolute().parent) as scratch,
            os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened,
        ):
            writer = archive.Writer(opened, scratch)
            _instance(writer, core)
            for path in (*named, *outside):
                for each in _tree(path):
                    _add(writer, each, f"outside{each}")
            made = datetime.now(UTC).isoformat(timespec="seconds")
            manifest = writer.finish(made, instance, missing)
            opened.flush()
            os.fsync(opened.fileno())
        os.link(draft, file)  # never over a file that came to be meanwhile
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def _instance(writer: archive.Writer, core: Core) -> None:
    """Add the instance folder; what plugins want copied last at the end, in their order."""
    instance, left_out, listed = core.settings.instance, _left_out(core), set(_order(core))
    held = {(path.parent, path.suffix) for path in listed if path.suffix}
    for path in _tree(instance, instance):
        if not left_out.isdisjoint((path, *path.parents)) and not path.is_dir():
            continue
        # Also one that came to be since the order was asked for: its turn comes at the end.
        if path in listed or ((path.parent, path.suffix) in held and path.is_file()):
            continue
        _add(writer, path, _name(path, instance), follow=_leads_out(path, instance))
    # Asked again, file by file: what a plugin lists after a file was copied is newer than the copy.
    for path in _order(core):
        if path.exists():
            _add(writer, path, _name(path, instance))


def _add(writer: archive.Writer, path: Path, name: str, *, follow: bool = False) -> None:
    if archive.is_beside_a_database(path):
        return
    try:
        writer.add(path, name, follow=follow)
    except FileNotFoundError:
        if path.suffix not in (".jsonl", ".log", ".gz"):
            raise  # logs rotate and are pruned meanwhile; nothing else goes away


def _name(path: Path, instance: Path) -> str:
    if path.is_relative_to(instance):
        return str(Path("instance") / path.relative_to(instance))
    return f"outside{path}"


def _left_out(core: Core) -> set[Path]:
    """Return what is made anew at each start; its folders are kept, without what is in them."""
    owned = file_claims.files([type(loaded.plugin) for loaded in core.plugins])
    return {core.settings.instance / path for path in file_claims.left_out(owned)}


def _order(core: Core) -> Iterator[Path]:
    """Yield what plugins want copied last, in their order."""
    for loaded in core.plugins:
        if hasattr(loaded.plugin, "backup_order"):
            yield from loaded.plugin.backup_order()


def _tree(path: Path, inside: Path | None = None) -> Iterator[Path]:
    """Return a path and all below it, each folder before what is in it.

    Links that lead out of ``inside`` are gone through: what lies there belongs to it.
    """
    yield path
    if not path.is_dir() or (path.is_symlink() and not _leads_out(path, inside)):
        return
    for each in sorted(path.iterdir()):
        yield from _tree(each, inside)


def _leads_out(path: Path, inside: Path | None) -> bool:
    if inside is None or not path.is_symlink():
        return False
    target = path.resolve()
    if inside.is_relative_to(target):
        raise ConfigError(
            f"the link leads to a folder that contains the instance ({target})",
            file=str(path),
            fix="remove the link",
        )
    return not target.is_relative_to(inside) and target.exists()


def _named_outside(core: Core) -> tuple[list[Path], list[str]]:
    """Return the files beyond the instance folder that settings name, and what no file holds."""
    settings = core.settings
    url = sa.make_url(settings.store_url)
    found, missing = [], []
    if url.get_backend_name() == "sqlite":
        found.append(Path(url.database or ""))
    else:
        missing.append("the store, which is in PostgreSQL: pg_dump")
    for name, text in _texts_of_plugins(settings):
        if text.startswith("file:/"):
            found.append(Path(text.removeprefix("file:")))
        elif _ELSEWHERE.fullmatch(text):
            missing.append(text)
        elif _REDIS.match(text):
            missing.append(f"what {name} keeps in Redis")
    inside = settings.instance
    return [p for p in found if p.exists() and not p.is_relative_to(inside)], missing


def _texts_of_plugins(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, table in settings.plugin_tables.items():
        for text in _texts(table):
            yield name, text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
