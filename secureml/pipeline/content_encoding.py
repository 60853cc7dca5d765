"""A packed body unpacked, or refused before it has grown: Content-Encoding (RFC 9110, 8.4).

gzip alone and once. A body that two readers could read differently is none: several codings,
several members, or anything behind the end.
"""

from __future__ import annotations

import zlib

from secureml.pipeline.problems import Problem

_GZIP_ONLY = 16 + zlib.MAX_WBITS  # zlib's word for "a gzip header, nothing else"
# x-gzip is gzip by another name: RFC 9110, section 8.4.1.3.
_GZIP = frozenset({"gzip", "x-gzip"})
# Below this many bytes unpacked, no ratio is a bomb: a handful of equal rows packs as well.
_RATIO_FLOOR = 64 * 1024


def unpack(body: bytes, coding: str, limit: int, ratio: int | None) -> bytes:
    """Return the body that a Content-Encoding header describes, at most ``limit`` bytes of it.

    ``ratio`` is how many times its packed size a body may become; None reads no packed body.
    Raises Problem: several codings and unknown ones, one that does not decode, anything behind
    its end, and what grows beyond the limit or the ratio. Never holds more than limit + 1
    unpacked bytes, whatever was sent.
    """
    word = coding.strip().lower()
    if word == "identity":
        return body
    if ratio is None or word not in _GZIP:
        # RFC 9110, section 15.5.16: the answer says which codings would have been read.
        accepted = "identity" if ratio is None else "gzip, identity"
        raise Problem(
            "unsupported_encoding",
            reason="payload.encoded",
            headers={"Accept-Encoding": accepted},
        )
    unpacked, complete = _gunzip(body, limit + 1)
    if len(unpacked) > max(_RATIO_FLOOR, ratio * len(body)):
        raise Problem("body_expands", reason="payload.gzip_ratio")
    if len(unpacked) > limit:
        raise Problem("body_too_large", reason="payload.gzip_limit")
    if not complete:
        raise Problem("malformed_encoding", reason="payload.gzip_incomplete")
    return unpacked


def _gunzip(body: bytes, most: int) -> tuple[bytes, bool]:
    """Return up to ``most`` bytes, and whether one member ended exactly where the body does."""
    reader = zlib.decompressobj(_GZIP_ONLY)
    try:
        # Stops at `most` bytes: what a bomb would have become is never made.
        unpacked = reader.decompress(body, most)
    except zlib.error:
        raise Problem("malformed_encoding", reason="payload.gzip_malformed") from None
    # A second member, or anything else behind the first, is a body that two readers would
    # read differently.
    return unpacked, reader.eof and not reader.unused_data
