"""Messages are read within the bytes that hold them."""

from __future__ import annotations

import pytest

from secureml.models.boosters.protobuf import fields, message, numbers, text


def read(data):
    return [
        (number, value if isinstance(value, int) else bytes(value))
        for number, value in fields(memoryview(data))
    ]


def test_fields_are_read_by_their_numbers():
    data = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d1234" + b"\x2112345678" + b"\x12\x00"

    assert read(data) == [(1, 150), (2, b"abc"), (3, b"1234"), (4, b"12345678"), (2, b"")]
    assert numbers(memoryview(b"\x01\x96\x01")) == [1, 150]
    assert numbers(7) == [7]
    assert text(memoryview(b"abc")) == "abc"


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        b"\x08\xff",
        b"\x08" + b"\xff" * 20,
        b"\x12\x05abc",
        b"\x12\xff\xff\xff\xff\x7f",
        b"\x1d12",
        b"\x0b",
        b"\x0f",
        b"\x02\x01a",
    ],
)
def test_attack_a_field_beyond_its_message_is_refused(data):
    with pytest.raises(ValueError):
        read(data)


def test_attack_a_number_in_the_place_of_a_message_is_refused():
    with pytest.raises(ValueError):
        message(5)
    with pytest.raises(ValueError):
        text(memoryview(b"\xff"))
