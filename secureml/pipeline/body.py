"""One strict reading of a body: size, encoding, depth, keys, duplicates, numbers.

Every body enters through ``read_json``; nothing downstream sees bytes. What it accepts
is I-JSON (RFC 7493): UTF-8 without a mark, no duplicate names, no lone surrogates, only
finite numbers. Python's own parser takes more than that, each excess is closed here.

The checks run at C speed over the whole text instead of over each value, because this
is on the path of every prediction.

``read_form`` is for the few routes whose protocol sends forms, and as strict.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any
from urllib.parse import parse_qsl

from secureml.pipeline.problems import Problem

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
# A number can only exceed a double (1.8e308) with an exponent of three digits or with
# 200 digits in a row: 199 digits and e99 stay below 1e299. Only then is each number
# looked at on its own, which costs a Python call for every float. All digits are made one,
# so that both are searches for fixed bytes: a regular expression took longer than the parser.
_ONE_DIGIT = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 200
_LARGE_EXPONENT = re.compile(rb"e\+?000")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a JSON text may be: nesting levels, names in one object, bytes in one string.

    A model's own names are always let in, and ``model_rows`` of its rows by name.
    ``gzip`` says whether a packed body is read at all, ``gzip_ratio`` how many bytes may come
    out of one.
    """

    depth: int = 8
    keys: int = 1000
    string: int = 4096
    gzip: bool = False
    gzip_ratio: int = 100
    model_rows: int = 50


class _Duplicate(ValueError):
    pass


class _TooManyKeys(ValueError):
    pass


class _NotFinite(ValueError):
    pass


def read_json(body: bytes, limits: Limits) -> Any:
    """Parse ``body`` or raise the Problem that names what is wrong with it."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem("malformed_json", reason="payload.not_utf8") from None
    value = _parse(text, body, limits.keys)
    _check_structure(value, body, limits)
    if _SURROGATE.search(body):
        _refuse_lone_surrogates(value)
    return value


@lru_cache(8)
def _decoder(max_keys: int, *, suspect: bool) -> json.JSONDecoder:
    def pairs_to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > max_keys:
            raise _TooManyKeys
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _Duplicate
        return found

    return json.JSONDecoder(
        object_pairs_hook=pairs_to_dict,
        parse_constant=_refuse_constant,
        parse_float=_finite if suspect else None,
        parse_int=_small_enough if suspect else None,
    )


def _parse(text: str, body: bytes, max_keys: int) -> Any:
    try:
        return _decoder(max_keys, suspect=_may_overflow(body)).decode(text)
    except _Duplicate:
        raise Problem("duplicate_key", reason="payload.duplicate_key") from None
    except _TooManyKeys:
        raise Problem("json_too_large", reason="payload.too_many_keys") from None
    except _NotFinite:
        raise Problem("not_a_number", reason="payload.not_finite") from None
    except RecursionError:
        raise Problem("json_too_deep", reason="payload.recursion") from None
    except ValueError:  # JSONDecodeError, and integers beyond the interpreter's digit limit
        raise Problem("malformed_json", reason="payload.malformed") from None


def _may_overflow(body: bytes) -> bool:
    digits = body.translate(_ONE_DIGIT)
    if _MANY_DIGITS in digits:
        return True
    return b"0e" in digits and _LARGE_EXPONENT.search(digits) is not None


def _refuse_constant(word: str) -> float:
    raise _NotFinite(word)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _NotFinite(text[:20])
    return number


def _small_enough(text: str) -> int:
    _finite(text)
    return int(text)


def _check_structure(value: Any, body: bytes, limits: Limits) -> None:
    """Refuse deep nesting and long strings in a text already known to be well formed."""
    parts = (_ESCAPE.sub(b"_", body) if b"\\" in body else body).split(b'"')
    if max(map(len, parts[1::2]), default=0) > limits.string and (
        # What is written \u00e9 takes more bytes than it is: only then is it worth a walk.
        b"\\u" not in body or _longest_string(value) > limits.string
    ):
        raise Problem("json_too_large", reason="payload.long_string")
    brackets = b"".join(parts[::2]).translate(_ONE_KIND, _NOT_BRACKETS)
    # Each pass takes away the innermost level; what is left after `depth` passes is deeper.
    for _ in range(limits.depth):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise Problem("json_too_deep", reason="payload.depth")


def _longest_string(value: Any) -> int:
    """Return the bytes of UTF-8 in the longest string or name, however deep it lies."""
    longest, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if type(one) is str:
            longest = max(longest, len(one.encode("utf-8", "surrogatepass")))
        elif type(one) is dict:
            waiting += one.keys()
            waiting += one.values()
        elif type(one) is list:
            waiting += one
    return longest


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise Problem("malformed_json", reason="payload.lone_surrogate") from None


def read_form(body: bytes, limits: Limits) -> dict[str, str]:
    """Parse a form in UTF-8, each name once; raises the Problem that names what is wrong.

    A name without a value is left out, as if it had not been sent (RFC 6749, 3.2).
    """
    if not body:
        return {}
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=limits.keys,
        )
    except ValueError:  # also what is not ASCII before, or not UTF-8 after the percent signs
        raise Problem("malformed_request", reason="payload.form") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem("malformed_request", reason="payload.repeated_parameter")
    if max(map(len, found.values()), default=0) > limits.string:
        raise Problem("malformed_request", reason="payload.long_parameter")
    return {name: value for name, value in found.items() if value}
