"""The kinds of values settings are made of; each is checked once, at the start.

Strict on purpose: a number is a number, a path stays inside the instance folder, and a
secret is a reference.
"""

from __future__ import annotations

import math
import re
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Any

from marshmallow import ValidationError
from marshmallow import fields as plain

from .rights import RIGHT
from .secret import SecretSource, is_reference, literal_refused

_DURATION = re.compile(r"([0-9]{1,10})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 36500 * 86400  # a hundred years: beyond it, dates overflow and somebody mistyped
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)?")
_BYTES = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


class _Text(plain.Field[str]):
    """A text of a known shape; subclasses say which."""

    shape: re.Pattern[str]
    kind: str

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not self.shape.fullmatch(value):
            raise ValidationError(f"This is not {self.kind}.")
        return value


class Scope(_Text):
    """A right, such as ``predict``, ``models:read`` or ``predict@churn`` (see `rights`)."""

    shape, kind = RIGHT, "a scope such as models:read or predict@churn"


class HeaderName(_Text):
    """An HTTP header name. Underscores are refused: a proxy and WSGI read them differently."""

    shape, kind = _HEADER, "a header name such as X-API-Key"


class HostName(plain.Field[str]):
    """A host name or address, without scheme and port."""

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

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is not int:
            raise ValidationError("This must be a whole number.")
        return value


class StrictFloat(plain.Field[float]):
    """A finite number; not a text that looks like one, and not true or false."""

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

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        try:
            return seconds(value if isinstance(value, str) else "")
        except ValueError as error:
            raise ValidationError(f"{str(error).capitalize()}.") from None


class ByteSize(plain.Field[int]):
    """A size such as ``1MiB``, ``64KiB`` or a plain number of bytes."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        text = str(value) if type(value) is int else value
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        if match is None or int(match[1]) == 0:
            raise ValidationError("A size is bytes, or a number with KiB, MiB or GiB.")
        return int(match[1]) * _BYTES[match[2]]


class Cidr(plain.Field[Any]):
    """A network such as ``10.0.0.0/8``; host bits that are set are a mistake, so refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return ip_network(value if isinstance(value, str) else "")
        except ValueError:
            raise ValidationError("This is not a network such as 10.0.0.0/8.") from None


class InstancePath(plain.Field[str]):
    """A path inside the instance folder: relative, and never up and out of it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValidationError("This must be a path.")
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValidationError("This must be a path inside the instance folder.")
        return value


class SecretRef(plain.Field[SecretSource]):
    """Where a secret is, such as ``env:NAME`` or ``file:path``; written out it is refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> SecretSource:
        if not isinstance(value, str) or not is_reference(value):
            refused = literal_refused()
            raise ValidationError(f"{refused.message}; {refused.fix}")
        return SecretSource(value)
