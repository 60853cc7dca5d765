"""Compressed model files, unpacked in memory and never beyond a bound.

A model file of a few kilobytes may claim to hold terabytes; the bound is checked while
unpacking, not afterwards, and follows from the size of the file: numbers that were learned
hardly compress to a tenth, and what compresses to a hundredth is large and empty.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from secureml.models.artifact.version_files import ModelRefused

UNPACKED_LIMIT = 4 * 1024**3
SMALL = 256 * 1024**2  # what any file may unpack to, however small it is
RATIO = 100
_CHUNK = 16 * 1024**2
_LZMA_MEMORY = 256 * 1024**2
_PICKLE = b"\x80"  # every pickle since protocol 2 starts so; joblib has written no other since 2010


def _zlib(data: bytes, limit: int) -> bytes:
    return _inflate(data, limit, zlib.MAX_WBITS)


def _gzip(data: bytes, limit: int) -> bytes:
    return _inflate(data, limit, zlib.MAX_WBITS | 16)


def _inflate(data: bytes, limit: int, bits: int) -> bytes:
    stream, unpacked = zlib.decompressobj(bits), io.BytesIO()
    while not stream.eof:
        piece = stream.decompress(data, _CHUNK)
        data = stream.unconsumed_tail
        _grow(unpacked, piece, limit, stuck=not piece and not data and not stream.eof)
    return unpacked.getvalue()  # shares its memory; bytes() would copy all of it


def _feed(stream: Any, data: bytes, limit: int) -> bytes:
    """Unpack with a decompressor of the kind that `bz2`, `lzma` and `lz4.frame` have."""
    unpacked = io.BytesIO()
    while not stream.eof:
        piece = stream.decompress(data, _CHUNK)
        data = b""
        _grow(unpacked, piece, limit, stuck=not piece and stream.needs_input)
    return unpacked.getvalue()


def _lz4() -> Any:
    try:
        from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415 - of few files, and an extra
    except ImportError:
        raise ModelRefused(
            "format",
            "the file is compressed with LZ4, and the package lz4 is not installed here",
            "script/extras lz4, or write the model with joblib.dump(compress=3)",
        ) from None
    return LZ4FrameDecompressor()


def _grow(unpacked: io.BytesIO, piece: bytes, limit: int, *, stuck: bool) -> None:
    if stuck:
        raise EOFError("the compressed data ends early")
    if unpacked.tell() + len(piece) > limit:
        raise ModelRefused(
            "format",
            f"the model file unpacks to more than {limit} bytes",
            "check where the file comes from; if you made it yourself, write it with "
            "joblib.dump(estimator, file) without compress, or seal a smaller model",
        )
    unpacked.write(piece)


_PACKINGS: tuple[tuple[bytes, Callable[[bytes, int], bytes]], ...] = (
    (b"\x78", _zlib),
    (b"\x1f\x8b", _gzip),
    (b"BZ", lambda data, limit: _feed(bz2.BZ2Decompressor(), data, limit)),
    (
        b"\xfd\x37\x7a\x58\x5a",
        lambda data, limit: _feed(lzma.LZMADecompressor(memlimit=_LZMA_MEMORY), data, limit),
    ),
    (b"\x04\x22\x4d\x18", lambda data, limit: _feed(_lz4(), data, limit)),
    (
        b"\x5d\x00",
        lambda data, limit: _feed(lzma.LZMADecompressor(memlimit=_LZMA_MEMORY), data, limit),
    ),
)


def unpack(data: bytes, limit: int = UNPACKED_LIMIT) -> bytes:
    """Return the pickle inside a model file; raises ModelRefused("format").

    A packed file may unpack to ``limit`` bytes, and to a hundred times its own size or 256 MiB,
    whichever of these two is more.
    """
    limit = min(limit, max(SMALL, RATIO * len(data)))
    for prefix, unpacker in _PACKINGS:
        if data.startswith(prefix):
            data = _guarded(unpacker, data, limit)
            break
    if not data.startswith(_PICKLE):
        raise ModelRefused(
            "format",
            "the file is no pickle, of joblib or otherwise (or is one of before 2016)",
            "write it with joblib.dump(estimator, file) of a current joblib",
        )
    return data


def _guarded(unpacker: Callable[[bytes, int], bytes], data: bytes, limit: int) -> bytes:
    try:
        return unpacker(data, limit)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, MemoryError, RuntimeError) as error:
        raise ModelRefused(
            "format",
            f"the compressed file is damaged ({type(error).__name__})",
            "copy the file again, or write it again with joblib.dump",
        ) from None
