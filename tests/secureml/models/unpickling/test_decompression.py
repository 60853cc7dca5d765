from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib

import joblib
import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.decompression import unpack
from secureml.models.unpickling.reader import load_recorded

METHODS = ["zlib", "gzip", "bz2", "lzma", "xz"]
PACKERS = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_compression_of_joblib_is_read(method):
    file = io.BytesIO()
    joblib.dump({"a": list(range(1000))}, file, compress=(method, 3))

    assert load_recorded(file.getvalue(), frozenset())[0] == {"a": list(range(1000))}


@pytest.mark.parametrize("method", METHODS)
def test_a_bomb_stops_at_the_bound(method):
    bomb = PACKERS[method](b"\x80\x05" + bytes(64 * 1024**2))
    assert len(bomb) < 100_000
    with pytest.raises(ModelRefused, match="unpacks to more than") as refused:
        unpack(bomb, 1024**2)

    assert refused.value.check == "format"


@pytest.mark.parametrize("method", METHODS)
def test_a_truncated_file_is_refused_not_waited_for(method):
    packed = PACKERS[method](b"\x80\x05" + bytes(range(256)) * 50)
    for kept in (3, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ModelRefused):
            unpack(packed[:kept])


@pytest.mark.parametrize("method", METHODS)
def test_a_damaged_file_is_refused(method):
    packed = bytearray(PACKERS[method](b"\x80\x05" + bytes(range(256)) * 50))
    packed[len(packed) // 2] ^= 0xFF
    packed[-3] ^= 0xFF
    with pytest.raises(ModelRefused):
        load_recorded(bytes(packed), frozenset())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ZF0x10 ",
        b"cos\nsystem\n(S'id'\ntR.",
        b"PK\x03\x04",
        b"\x04\x22\x4d\x18",
        b"]q\x00.",
    ],
)
def test_what_is_no_current_joblib_pickle_is_refused(data):
    with pytest.raises(ModelRefused) as refused:
        unpack(data)

    assert refused.value.check == "format"


def test_a_plain_pickle_is_passed_through():
    assert unpack(b"\x80\x05N.") == b"\x80\x05N."
