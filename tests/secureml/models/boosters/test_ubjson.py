"""Universal Binary JSON is read strictly, within its bytes."""

from __future__ import annotations

import numpy as np
import pytest

from secureml.models.boosters.ubjson import loads


def length(number):
    return b"L" + number.to_bytes(8, "big", signed=True)


def name(text):
    return length(len(text)) + text.encode()


def array(code, items):
    return b"[$" + code + b"#" + length(len(items)) + items.tobytes()


def test_what_xgboost_writes_is_read():
    data = (
        b"{" + name("a") + array(b"l", np.array([1, -2], ">i4"))
        + name("b") + b"S" + name("text")
        + name("c") + b"[" + b"i\x05" + b"T" + b"Z" + b"]"
        + name("d") + b"[#" + length(2) + b"U\xff" + b"d" + np.array(0.5, ">f4").tobytes()
        + name("e") + array(b"d", np.array([0.5, np.inf], ">f4"))
        + b"}"
    )  # fmt: skip
    found = loads(data)

    assert found["a"].tolist() == [1, -2]
    assert found["b"] == "text"
    assert found["c"] == [5, True, None]
    assert found["d"] == [255, 0.5]
    assert found["e"].tolist() == [0.5, np.inf]


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "an object without end": b"{",
        "a name twice": b"{" + name("a") + b"T" + name("a") + b"F" + b"}",
        "bytes after it": b"TT",
        "a marker of nobody": b"H",
        "a length beyond the file": b"S" + length(5) + b"ab",
        "a length below zero": b"S" + length(-1),
        "a length of another size": b"Si\x01a",
        "an array beyond the file": b"[$l#" + length(2**60),
        "an array below zero": b"[$l#" + length(-1),
        "an array of doubles": b"[$D#" + length(1) + bytes(8),
        "an array of texts": b"[$S#" + length(1) + b"a",
        "an array without a count": b"[$li\x01",
        "items beyond the file": b"[#" + length(2**40),
        "items below zero": b"[#" + length(-1),
        "no text": b"S" + length(1) + b"\xff",
        "nested without end": b"[" * 1000,
        "half a number": b"L\0",
    }.items(),
    ids=lambda pair: pair[0],
)
def test_attack_what_xgboost_does_not_write_is_refused(data):
    with pytest.raises(ValueError):
        loads(data[1])
