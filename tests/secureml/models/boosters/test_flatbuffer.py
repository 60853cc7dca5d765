"""Tables of FlatBuffers are read within the bytes that hold them."""

from __future__ import annotations

import struct

import pytest

from secureml.models.boosters.flatbuffer import FlatTable

TAIL = struct.pack("<III", 2, 10, 20)


def buffer(*, vtable=(8, 12, 4, 8), table=(8, 7, 8), tail=TAIL):
    """Return a root of two fields: the number 7, and an array of 10 and 20."""
    fields = struct.pack("<4H", *vtable)
    return struct.pack("<I", 12) + fields + struct.pack("<iiI", *table)[:12] + b"\0" * 4 + tail


def test_fields_are_read_by_their_numbers():
    found = FlatTable.root(buffer(table=(8, 7, 8)))

    assert found.integer(0, 0) == 7
    assert found.integer(5, 3) == 3
    assert found.array(1, "<u4").tolist() == [10, 20]
    assert found.array(6, "<u4").tolist() == []
    assert found.fields == {0, 1}


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "a root outside": struct.pack("<I", 2**31),
        "a list of fields outside": buffer(table=(2**30, 7, 8)),
        "a list before the file": buffer(table=(100, 7, 8)),
        "a list of no size": buffer(vtable=(0, 12, 4, 8)),
        "a list of half a field": buffer(vtable=(7, 12, 4, 8)),
        "a field outside of its table": buffer(vtable=(8, 6, 4, 8)),
        "an array outside": buffer(table=(8, 7, 2**31)),
        "an array of more than the file": buffer(tail=struct.pack("<III", 2**31, 0, 0)),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_attack_what_points_outside_is_refused(data):
    with pytest.raises(ValueError):
        FlatTable.root(data[1]).array(1, "<u4")
