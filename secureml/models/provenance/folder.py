"""A folder or file beside its bundle: whether it is still what was signed, and what differs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from secureml.models.artifact.version_files import one_line
from secureml.models.provenance.bundle import GET_AGAIN, SIGN_AGAIN, verified
from secureml.models.provenance.untrusted_file import refuse, words

if TYPE_CHECKING:
    from model_signing.manifest import Manifest

_MOST_NAMES = 10  # of files that differ, told in one message
_ALGORITHMS = {"blake2b": "blake2"}  # the library writes the one and takes the other


@dataclass(frozen=True)
class Checked:
    """What was found as it was signed: how many digests, of files or shards, and of which key.

    ``left_out`` are the paths that the signer left out of the bundle and that are there.
    """

    digests: int
    key: str
    left_out: tuple[str, ...]


def check(path: Path, bundle: Path, key: Path) -> Checked:
    """Verify a folder or file against a bundle; raises ConfigError that says what differs."""
    signed, digest = verified(bundle, key)
    _check_plain(path)
    how = signed.serialization_type
    try:
        found = _hashed(path, how)
    except Exception as error:  # noqa: BLE001 - the files and the statement are anybody's
        refuse(path, f"it cannot be read as it was signed ({words(error)})", GET_AGAIN)
    count = sum(1 for _ in signed.resource_descriptors())
    if not count:
        refuse(bundle, "it signs no file", SIGN_AGAIN)
    if differences := _differences(found, signed):
        refuse(path, "; ".join(differences), GET_AGAIN)
    left_out = [each for each in how.get("ignore_paths", ()) if _is_there(path, each, bundle)]
    return Checked(count, digest, tuple(sorted(left_out)))


def _check_plain(path: Path) -> None:
    """Refuse links, and folders that cannot be read: what is in them would not be seen."""

    def not_read(error: OSError) -> NoReturn:
        refuse(path, f"{error.filename} cannot be read ({error.strerror})", "check its mode")

    links = [path] if path.is_symlink() else []
    if path.is_dir():
        for folder, folders, files in os.walk(path, onerror=not_read):
            links += [
                link for name in (*folders, *files) if (link := Path(folder, name)).is_symlink()
            ]
    if links:
        refuse(path, f"{links[0]} is a link, which no bundle covers", "put the file itself there")


def _hashed(path: Path, how: dict[str, Any]) -> Manifest:
    """Return what is there, hashed as a bundle says; nothing is left out that it does not name."""
    from model_signing import hashing  # noqa: PLC0415 - an extra

    config = hashing.Config()
    kind = _ALGORITHMS.get(how["hash_type"], how["hash_type"])
    if how["method"] == "shards":
        size = int(how["shard_size"])  # numbers of a statement are all fractions
        config.use_shard_serialization(hashing_algorithm=kind, shard_size=size)
    else:
        config.use_file_serialization(hashing_algorithm=kind)
    config.set_ignored_paths(paths=how.get("ignore_paths", ()), ignore_git_paths=False)
    return config.hash(path)


def _differences(found: Manifest, signed: Manifest) -> list[str]:
    now, then = (
        {each.identifier: each.digest for each in manifest.resource_descriptors()}
        for manifest in (found, signed)
    )
    changed = [name for name in now.keys() & then.keys() if now[name] != then[name]]
    told = (
        (changed, "changed after it was signed"),
        (now.keys() - then.keys(), "not in the bundle"),
        (then.keys() - now.keys(), "missing"),
    )
    return [f"{_names(names)}: {what}" for names, what in told if names]


def _names(found: Iterable[str]) -> str:
    names = ["the file" if name == "." else name for name in sorted(found)]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return one_line(", ".join(names[:_MOST_NAMES])) + more


def _is_there(path: Path, name: str, bundle: Path) -> bool:
    there = path / name
    return os.path.lexists(there) and not there.samefile(bundle)
