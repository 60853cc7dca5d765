"""A JWK Set as a document (RFC 7517, 5): where it begins and ends, and one that lies in a file.

What its keys are worth is said by `jwks`.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from secureml.kit.fetch import MAX_BYTES
from secureml.kit.jwks import MAX_KEYS, Keys
from secureml.kit.strict_json import loads


class KeysRefused(Exception):
    """A document or its key set break a rule; the text is that rule."""


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that a document is; raises KeysRefused."""
    try:
        found = loads(data)
    except ValueError:
        raise KeysRefused("not_json") from None
    if not isinstance(found, dict):
        raise KeysRefused("not_json")
    return found


def key_entries(data: bytes) -> list[Any]:
    """Return the entries of a JWK Set (RFC 7517, 5), each still to be judged."""
    entries = json_object(data).get("keys")
    if not isinstance(entries, list):
        raise KeysRefused("no_key_set")
    if len(entries) > MAX_KEYS:
        raise KeysRefused("too_many_keys")
    return entries


def read_file(path: Path) -> bytes:
    """Return a key set that lies in a file which others cannot write; raises KeysRefused."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(path.stat().st_mode) & 0o022:
                # Whoever writes keys here writes tokens.
                raise KeysRefused("file_writable_by_others")
            return file.read(MAX_BYTES)
    except OSError:
        raise KeysRefused("file_unreadable") from None


def trusted_keys(load: Callable[[], Keys]) -> Keys:
    """Return the keys of a set in which one at least is trusted; raises KeysRefused."""
    found = load()
    if not found.trusted:
        rules = ", ".join(sorted({decision.rule for decision in found.decisions})) or "it is empty"
        raise KeysRefused(f"no key of this set is trusted: {rules}")
    return found
