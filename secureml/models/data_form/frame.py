"""How a data form lies in its file: a prefix, a header in JSON, then the blocks.

=========  ====================================================================
bytes      what
=========  ====================================================================
8          ``MAGIC``
8          the version of the form, little-endian
8          the length of the header in bytes, little-endian
...        the header: ``{"blocks": [length, ...], "nodes": [node, ...]}``
...        the blocks, in the order of their lengths
=========  ====================================================================

The header and each block begin at a multiple of 64 bytes; what lies between is zero. Where a
block begins follows from the lengths before it, so no two can overlap and none can leave a gap.
Nothing is compressed: a form takes as much memory as its file is long.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from secureml.kit.strict_json import loads_object
from secureml.models.data_form.refusals import FormRefused

MAGIC = b"\x89SMLFRM\n"
VERSION = 1
ALIGNMENT = 64
_PREFIX = struct.Struct("<8sQQ")


@dataclass(frozen=True)
class Frame:
    """The parts of a file: nodes as JSON has them, and the bytes of each block."""

    nodes: list[Any]
    blocks: list[memoryview]


class Writable(Protocol):
    """What a data form is written to."""

    def write(self, part: bytes | memoryview, /) -> object:
        """Write all of it."""


def _padding(size: int) -> int:
    return -size % ALIGNMENT


def write_frame(nodes: Sequence[Any], blocks: Sequence[memoryview], file: Writable) -> None:
    """Write the file; each block is taken from memory as it is, without a copy."""
    header = json.dumps(
        {"blocks": [block.nbytes for block in blocks], "nodes": nodes},
        separators=(",", ":"), ensure_ascii=False, allow_nan=False,
    ).encode("utf-8")  # fmt: skip
    prefix = _PREFIX.pack(MAGIC, VERSION, len(header))
    for part in (memoryview(prefix), memoryview(header), *blocks):
        file.write(part)
        file.write(bytes(_padding(part.nbytes)))


def read_frame(data: memoryview, *, header_limit: int) -> Frame:
    """Return the parts of a file; raises FormRefused unless they cover it exactly.

    ``data`` is one-dimensional memory of bytes, ``header_limit`` the longest header in bytes.
    """
    if len(data) < _PREFIX.size or bytes(data[: len(MAGIC)]) != MAGIC:
        raise FormRefused("the beginning of the file", "this is not the data form of a model")
    _, version, length = _PREFIX.unpack(data[: _PREFIX.size])
    if version != VERSION:
        raise FormRefused("the beginning of the file", f"version {version} is not {VERSION}")
    if length > header_limit:
        raise FormRefused("the header", f"it is longer than {header_limit} bytes")
    start = _past("the beginning of the file", data, 0, _PREFIX.size)
    end = _past("the header", data, start, length)
    header = _header(bytes(data[start : start + length]))
    blocks = []
    for index, size in enumerate(_lengths(header["blocks"])):
        blocks.append(data[end : end + size])
        end = _past(f"block {index}", data, end, size)
    if end != len(data):
        raise FormRefused("the end of the file", f"{len(data) - end} bytes belong to nothing")
    return Frame(header["nodes"], blocks)


def _past(place: str, data: memoryview, start: int, size: int) -> int:
    """Return where the part after this one begins."""
    end = start + size
    after = end + _padding(size)
    if after > len(data):
        raise FormRefused(place, f"the file ends {after - len(data)} bytes too early")
    if any(data[end:after]):
        raise FormRefused(place, "what follows it up to the next multiple of 64 is not zero")
    return after


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = loads_object(text)
    except ValueError as error:
        raise FormRefused("the header", f"it is not strict JSON ({error})") from None
    if header.keys() != {"blocks", "nodes"}:
        raise FormRefused("the header", "it does not hold exactly blocks and nodes")
    if type(header["nodes"]) is not list:
        raise FormRefused("the header", "nodes is not a list")
    return header


def _lengths(given: Any) -> list[int]:
    if type(given) is not list or any(type(size) is not int or size < 0 for size in given):
        raise FormRefused("the header", "blocks is not a list of lengths")
    return given
