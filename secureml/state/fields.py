"""The kinds of values settings are made of; each is checked once, at the start.

Strict on purpose: a number is a number, a path stays inside the instance folder, and a
secret is a reference.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Any

from marshmallow import ValidationError
from marshmallow import fields as plain

from secureml.state import reserved_headers
from secureml.state.scopes import RIGHT
from secureml.state.secrets.references import SecretSource, is_reference, literal_refused

_DURATION = re.compile(r"([0-9]{1,10})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 36500 * 86400  # a hundred years: beyond it, dates overflow and somebody mistyped
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)?")
_BYTES = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
# With underscores, which DNS does not forbid (RFC 2181, 11) and Compose makes: `ml_api`.
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


class _Text(plain.Field[str]):
    """A text of a known shape; subclasses say which."""

    shape: re.Pattern[str]
    kind: str

    @property
    def expects(self) -> str:
        """An example of a valid value, for the message about an invalid one."""
        return self.kind

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not self.shape.fullmatch(value):
            raise ValidationError(f"This is not {self.kind}.")
        return value


class Scope(_Text):
    """A right, such as ``predict``, ``models:read`` or ``predict@churn`` (see `rights`).

    It must be one that a route demands. With ``defines`` it need not be: the setting itself asks
    for it, and makes it a right that clients can be given.
    """

    shape, kind = RIGHT, "a scope such as models:read or predict@churn"

    def __init__(self, *, defines: bool = False, **words: Any) -> None:
        super().__init__(**words)
        self._defines = defines

    def refers(self, value: Any) -> list[tuple[str, str]]:
        """Return the scope a value names, and the model it is narrowed to."""
        if not isinstance(value, str):
            return []
        scope, _, model = value.partition("@")
        found = [("defines scope" if self._defines else "scope", scope)]
        return found + [("model", model.partition("@")[0])] * bool(model)


class _Name(plain.String):
    """A name of something that must be there: `secureml check` says where it is not."""

    refers_to = ""
    everything = ("", "*")

    def refers(self, value: Any) -> list[tuple[str, str]]:
        """Return what a value names."""
        named = isinstance(value, str) and value not in self.everything
        return [(self.refers_to, value)] if named else []


class ClientName(_Name):
    """The name of a client, as `secureml clients list` shows it."""

    refers_to, expects = "client", "the name of a client in quotes"


class TierName(_Name):
    """The tier of clients."""

    refers_to, expects = "tier", "the tier of a client in quotes"


class PluginName(_Name):
    """The name of a plugin that is enabled."""

    refers_to, expects = "plugin", "the name of an enabled plugin in quotes"


class ModelName(_Name):
    """The name of a model, or ``NAME@VERSION``, or ``*`` where that means all."""

    refers_to, expects = "model", "the name of a model in quotes"

    def refers(self, value: Any) -> list[tuple[str, str]]:
        """Return the model a value names, without its version."""
        return super().refers(value.partition("@")[0] if isinstance(value, str) else value)


class HeaderName(_Text):
    """An HTTP header name. Underscores are refused: a proxy and WSGI read them differently."""

    shape, kind = _HEADER, "a header name such as X-API-Key"


class CredentialHeader(HeaderName):
    """The name of a header that carries a credential, and has no other meaning."""

    kind = "a header name such as X-API-Key, which no other program uses"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        name = super()._deserialize(value, attr, data, **kwargs)
        why = reserved_headers.meaning_of(name)
        if why:
            raise ValidationError(f"This header has a meaning of its own: {why}.")
        return name


class HostName(plain.Field[str]):
    """A host name or address, without scheme and port."""

    expects = 'a host name such as "ml.example.org", or an address'

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, str) and (_HOST.fullmatch(value) or _is_address(value)):
            return value
        raise ValidationError("This is not a host name such as ml.example.org.")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class StrictInteger(plain.Field[int]):
    """A whole number; not a text that looks like one, and not true or false."""

    expects = "a whole number, without quotes,"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is not int:
            raise ValidationError("This must be a whole number.")
        return value


class StrictFloat(plain.Field[float]):
    """A finite number; not a text that looks like one, and not true or false."""

    expects = "a number, without quotes,"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        try:
            number = float(value) if type(value) in (int, float) else math.nan
        except OverflowError:  # TOML's whole numbers have no end
            number = math.inf
        if not math.isfinite(number):
            raise ValidationError("This must be a finite number.")
        return number


def seconds(text: str) -> float:
    """Return the seconds in a text such as ``90d``, ``24h``, ``15m`` or ``30s``.

    Raises ValueError for any other text.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a number and a unit: 30s, 15m, 24h or 90d")
    found = int(match[1]) * _SECONDS[match[2]]
    if found > _LONGEST:
        raise ValueError("a duration is at most 36500d")
    return float(found)


class Duration(plain.Field[float]):
    """A time such as ``90d``, ``24h``, ``15m`` or ``30s``, in seconds."""

    expects = 'a time such as "30s", "15m", "24h" or "90d"'

    @staticmethod
    def written(seconds: float) -> str:
        """Return a time in seconds as settings would have it; a whole second is the least."""
        whole = math.ceil(seconds)
        unit = next((u for u in "dhm" if whole and whole % _SECONDS[u] == 0), "s")
        return f"{whole // _SECONDS[unit]}{unit}"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        try:
            return seconds(value if isinstance(value, str) else "")
        except ValueError as error:
            raise ValidationError(f"{str(error).capitalize()}.") from None


class ByteSize(plain.Field[int]):
    """A size such as ``1MiB``, ``64KiB`` or a plain number of bytes."""

    expects = 'a size such as "64KiB" or "1MiB"'

    @staticmethod
    def written(size: float) -> str:
        """Return a number of bytes as settings would have it."""
        unit = next((u for u in ("GiB", "MiB", "KiB") if size and size % _BYTES[u] == 0), "B")
        return f"{size / _BYTES[unit]:g}{unit}"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        text = str(value) if type(value) is int else value
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        if match is None or int(match[1]) == 0:
            raise ValidationError("A size is bytes, or a number with KiB, MiB or GiB.")
        return int(match[1]) * _BYTES[match[2]]


class Cidr(plain.Field[Any]):
    """A network such as ``10.0.0.0/8``; host bits that are set are a mistake, so refused."""

    expects = 'a network such as "10.0.0.0/8"'

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return ip_network(value if isinstance(value, str) else "")
        except ValueError:
            raise ValidationError("This is not a network such as 10.0.0.0/8.") from None


@dataclass(frozen=True, slots=True)
class Writes:
    """That a server or command writes what a path names, so that it must be nothing else's.

    ``folder`` where all below it is written as well; ``beside`` are endings of further files
    that are made next to it. A ``mode`` without rights for others makes it a secret: the start
    refuses one that others can open.
    """

    folder: bool = False
    beside: tuple[str, ...] = ()
    mode: int = 0o640


# What SQLite makes beside a database.
DATABASE = Writes(beside=("-wal", "-shm", "-journal"), mode=0o600)


class AnyPath(plain.Field[str]):
    """A path, relative to the instance folder or absolute; ``writes`` where we write there."""

    expects = 'a path, such as "logs/lines.jsonl"'

    def __init__(self, *, writes: Writes | None = None, **words: Any) -> None:
        super().__init__(**words)
        self.writes = writes

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= 4096 or "\0" in value:
            raise ValidationError("This must be a path.")
        return value


class InstancePath(AnyPath):
    """A path inside the instance folder: relative, and never up and out of it."""

    expects = "a path inside the instance folder, written relative to it"
    default_is_example = True

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        path = PurePosixPath(super()._deserialize(value, attr, data, **kwargs))
        if path.is_absolute():
            raise ValidationError(
                "This is an absolute path; it must be relative to the instance folder."
            )
        if ".." in path.parts:
            raise ValidationError("This path leads outside the instance folder.")
        return str(value)


class SecretRef(plain.Field[SecretSource]):
    """Where a secret is, such as ``env:NAME`` or ``file:path``; written out it is refused."""

    expects = 'where the secret is: "file:keys/NAME" or "env:NAME"'

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> SecretSource:
        if not isinstance(value, str) or not is_reference(value):
            refused = literal_refused()
            raise ValidationError(f"{refused.message}; {refused.fix}")
        return SecretSource(value)
