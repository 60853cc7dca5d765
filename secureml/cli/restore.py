"""``secureml restore FILE``: put an instance in place from one file, all of it or nothing.

The archive is unpacked beside the place it goes to and held against its own list first. Nothing
is overwritten: an instance folder that holds something stops it, and a file outside it that is
another is kept under its name with ``~``.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from secureml.cli import archive
from secureml.cli.main import CommandContext
from secureml.config_error import ConfigError
from secureml.kit.output import emit, json_option


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--instance-only", is_flag=True, help="Restore only the instance folder, no other files."
)
@json_option
@click.pass_obj
def restore(context: CommandContext, file: Path, instance_only: bool, as_json: bool) -> None:
    """Restore the instance that FILE contains, and the other files saved with it.

    The instance folder must be missing or empty. As root, owners are restored too.
    """
    instance = context.instance
    if instance.is_symlink() or (instance.exists() and any(instance.iterdir())):
        raise ConfigError(
            "the instance folder is not empty", file=str(instance), fix="move it away first"
        )
    instance.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{instance.name}-", dir=instance.parent) as folder:
        staging = Path(folder)
        with archive.unpacked(file, staging) as manifest:
            owners = _owners(manifest) if os.geteuid() == 0 else {}
            for entry in reversed(manifest.entries):  # what is in a folder before the folder
                _add_headers(staging / entry.name, entry, owners)
            kept = [] if instance_only else _restore_outside(staging / "outside")
            (staging / "instance").replace(instance)
    warnings = _elsewhere(instance, Path(manifest.instance))
    data = {"instance": str(instance), "made": manifest.made, "kept": kept, "warnings": warnings}
    lines = [f"{instance}: restored as of {manifest.made}"]
    lines += [f"kept: {path}" for path in kept]
    lines += [f"not in it: {what}" for what in manifest.missing]
    lines += [f"warning: {warning}" for warning in warnings]
    lines.append(f"next, run: {', then '.join(_next(instance))}")
    emit({**data, "missing": list(manifest.missing)}, as_json, "\n".join(lines))


def _next(instance: Path) -> list[str]:
    """Return the commands that say whether what was restored is whole."""
    from secureml import settings
    from secureml.cli.plugin_commands import line_of
    from secureml.pipeline import loader

    try:
        classes = loader.find(settings.read(instance).plugins)
    except ConfigError:
        classes = []  # `check` says why
    found = [line_of(cls, cls.verify_command) for cls in classes if cls.verify_command]
    return ["secureml check", *found]


def _elsewhere(instance: Path, saved_from: Path) -> list[str]:
    """Return what to say of each setting that leads back to the folder it was saved from.

    And of a store outside the folder: two instances would use it.
    """
    from secureml import settings, store_location

    file = instance / settings.FILE
    words = []
    try:
        written = tomllib.loads(file.read_text("utf-8"))
        if instance != saved_from:
            words = [
                (
                    f"{file}: {target}: {text!r} points to {saved_from}, the saved folder; "
                    f"fix: write the path in {instance}"
                )
                for target, text in _texts(written, "")
                if _leads_into(text, saved_from)
            ]
        store = settings.read(instance).store_file
    except (OSError, ValueError, ConfigError) as error:
        return [
            *words,
            f"the settings cannot be read ({error}); fix: correct them, then run `secureml check`",
        ]
    far = store and store_location.warning(store, instance)
    return [*words, f"{file}: {far}"] if far else words


def _texts(value: object, target: str) -> Iterator[tuple[str, str]]:
    """Return every text in settings with its place, as ``[table] key``."""
    if isinstance(value, str):
        table, _, key = target.rpartition(".")
        yield f"[{table}] {key}", value
    elif isinstance(value, dict):
        for word, inner in value.items():
            yield from _texts(inner, f"{target}.{word}" if target else word)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, target)


def _leads_into(text: str, folder: Path) -> bool:
    """Tell whether a text is a path in a folder, bare or behind a word such as ``file:``."""
    before, found, behind = text.partition(str(folder))
    return bool(found) and before[-1:] in ("", ":", "/") and behind[:1] in ("", "/")


def _owners(manifest: archive.Manifest) -> dict[str, int]:
    """Return the ids of all users (``u:NAME``) and groups (``g:NAME``) that own something in it."""
    found: dict[str, int] = {}
    for entry in manifest.entries:
        try:
            if f"u:{entry.owner}" not in found:
                found[f"u:{entry.owner}"] = _uid(entry.owner)
            if f"g:{entry.group}" not in found:
                found[f"g:{entry.group}"] = _gid(entry.group)
        except KeyError:
            raise ConfigError(
                f"{entry.name} belongs to {entry.owner}:{entry.group}, and this machine has no "
                "such user or group",
                fix="useradd --system --home-dir /var/lib/secureml --shell /usr/sbin/nologin "
                "secureml",
            ) from None
    return found


def _uid(name: str) -> int:
    return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid


def _add_headers(path: Path, entry: archive.Entry, owners: dict[str, int]) -> None:
    """Give a thing its owner and mode, the owner first: a change of owner takes bits away."""
    if owners:
        uid, gid = owners[f"u:{entry.owner}"], owners[f"g:{entry.group}"]
        os.chown(path, uid, gid, follow_symlinks=False)
    if entry.kind != "link":
        path.chmod(entry.mode)


def _restore_outside(staged: Path) -> list[str]:
    """Put what lies beyond the instance folder in its place; return what was kept aside."""
    kept = []
    moves = [(path, Path("/") / path.relative_to(staged)) for path in _leaves(staged)]
    for _, target in moves:
        _check_writable(target)
    for path, target in moves:
        _make_parents(target.parent, staged)
        if path.is_dir() and not path.is_symlink():
            _make_parents(target, staged)
            continue
        if target.is_symlink() or target.exists():
            target.rename(target.with_name(f"{target.name}~"))
            kept.append(f"{target}~")
        shutil.move(path, target)
    return kept


def _leaves(folder: Path) -> list[Path]:
    """Return all files, links and empty folders below one."""
    if folder.is_symlink() or not folder.is_dir():
        return [folder] if folder.is_symlink() or folder.exists() else []
    inside = sorted(folder.iterdir())
    return [leaf for each in inside for leaf in _leaves(each)] or [folder]


def _check_writable(target: Path) -> None:
    there = next(folder for folder in target.parents if folder.is_dir())
    if not os.access(there, os.W_OK):
        raise ConfigError(
            "this file is in the backup, and you may not write it",
            file=str(target),
            fix="run the command as root, or use --instance-only",
        )


def _make_parents(folder: Path, staged: Path) -> None:
    """Make the folders that are missing, with the owner and mode they were saved with."""
    if folder.is_dir():
        return
    _make_parents(folder.parent, staged)
    folder.mkdir()
    found = (staged / folder.relative_to("/")).stat()
    if os.geteuid() == 0:
        os.chown(folder, found.st_uid, found.st_gid)
    folder.chmod(found.st_mode & 0o7777)
