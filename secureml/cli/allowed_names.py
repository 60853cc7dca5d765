"""The list ``[models] allow`` of a settings file, with names added, and all else as it was."""

from __future__ import annotations

import os
import secrets
import stat
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.cli.model_refusals import with_refusals
from secureml.config_error import ConfigError
from secureml.kit.output import emit, json_option

if TYPE_CHECKING:
    from secureml.settings import Settings

_TABLE, _KEY = "[models]", "allow"


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
@click.pass_obj
@with_refusals
def allow(context: CommandContext, names: tuple[str, ...], as_json: bool) -> None:
    """Allow classes and functions of your own, by their exact names, in model files.

    Writes them into [models] allow of the settings: the one list by which models are sealed and
    served. A running server reads it at its next reload or restart.
    """
    from secureml.models.unpickling.allowlist import check_extra

    check_extra(frozenset(names))  # a start that met one that cannot be would refuse its settings
    file = context.instance / "secureml.toml"
    if not file.exists():
        raise click.ClickException(
            f"there are no settings at {file}; fix: run `secureml init`, or seal with "
            + " ".join(f"--allow {name}" for name in names)
        )
    new = add(file, names)
    text = f"allowed in {file}: {', '.join(new)}" if new else "all of these are allowed already"
    emit({"allowed": new, "file": str(file)}, as_json, text)


def demand_allowed(settings: Settings, allow: frozenset[str]) -> None:
    """Refuse names that the start does not allow: what is sealed with them would be closed."""
    from secureml.models.unpickling.advice import how_to_allow
    from secureml.models.unpickling.allowlist import never

    # Those are for the refusal that knows the way out.
    strange = sorted(name for name in allow - settings.models_allow if not never(name))
    if strange:
        raise ConfigError(
            f"--allow names {', '.join(strange)}, which [models] allow does not: the start would "
            "refuse the model",
            file=str(settings.file),
            table="models",
            key="allow",
            fix=how_to_allow(strange, settings.models_allow, str(settings.file))
            + "; then seal again",
        )


def add(file: Path, names: Iterable[str]) -> list[str]:
    """Add names to the list of a settings file; return those that were not in it.

    The rest of the file stays as it is, comments included; its owner and mode, too. Raises
    ConfigError where the list cannot be changed in this way, with the line to write.
    """
    text = file.read_text("utf-8")
    before = _listed(tomllib.loads(text))
    new = [name for name in dict.fromkeys(names) if name not in before]
    if new:
        _replace(file, with_names(text, new, str(file)))
    return new


def with_names(text: str, names: Sequence[str], file: str = "") -> str:
    """Return settings whose list has these names as well; raises ConfigError."""
    settings = tomllib.loads(text)
    wanted = [*_listed(settings), *names]
    line = f"{_KEY} = [{', '.join(map(_quoted, wanted))}]"
    lines = text.splitlines(keepends=True)
    table = next((at for at, each in enumerate(lines) if each.strip() == _TABLE), None)
    if table is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        changed = f"{text}{gap}\n{_TABLE}\n{line}\n"
    else:
        first, last = _place(lines, table)
        changed = "".join([*lines[:first], f"{line}\n", *lines[last:]])
    expected: dict[str, Any] = {**settings, "models": {**settings.get("models", {}), _KEY: wanted}}
    if not _says(changed, expected):
        raise ConfigError(
            "the list is written in a way that is not changed by a command",
            file=file,
            table="models",
            key=_KEY,
            fix=f"write it yourself: {line}",
        )
    return changed


def _listed(settings: dict[str, Any]) -> list[str]:
    models = settings.get("models", {})
    found = models.get(_KEY, []) if type(models) is dict else []
    return [name for name in found if type(name) is str] if type(found) is list else []


def _quoted(name: str) -> str:
    return f'"{name}"'


def _place(lines: Sequence[str], table: int) -> tuple[int, int]:
    """Return the first line of the list and the one after it; where there is none, its place."""
    for first in range(table + 1, len(lines)):
        bare = lines[first].lstrip()
        if bare.startswith("["):
            break
        if bare.partition("=")[0].strip() == _KEY:
            return first, _end(lines, first)
    return table + 1, table + 1


def _end(lines: Sequence[str], first: int) -> int:
    for last in range(first + 1, len(lines) + 1):
        part = "".join(lines[first:last])
        if "#" in part:
            return first  # a comment would be lost: then the key is there twice, which is told
        try:
            tomllib.loads(part)
        except tomllib.TOMLDecodeError:
            continue
        return last
    return first


def _says(text: str, expected: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        return False


def _replace(file: Path, text: str) -> None:
    facts = file.stat()
    draft = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(opened, "w", encoding="utf-8") as written:
            if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(opened, facts.st_uid, facts.st_gid)
            os.fchmod(opened, stat.S_IMODE(facts.st_mode))
            written.write(text)
            written.flush()
            os.fsync(opened)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
