"""A pipe is read up to a bound, and never waited for."""

from __future__ import annotations

import io
import os

import pytest

from secureml.confinement.bounded_reader import BoundedReader


@pytest.fixture
def pipe():
    source, target = os.pipe()
    with os.fdopen(source, "rb", 0) as reader, os.fdopen(target, "wb", 0) as writer:
        yield reader, writer


def test_an_empty_pipe_is_not_waited_for_and_a_closed_one_has_ended(pipe):
    source, target = pipe
    reader = BoundedReader(source.fileno(), 10)
    assert not reader.read()
    assert not reader.has_ended
    target.close()
    assert not reader.read()
    assert reader.has_ended


def test_as_much_as_the_bound_is_handed_on_and_no_byte_more(pipe):
    source, target = pipe
    sink = io.BytesIO()
    reader = BoundedReader(source.fileno(), 4, sink)
    target.write(b"1234")
    assert reader.read()
    assert not reader.is_exceeded
    target.write(b"5")
    assert not reader.read()
    assert reader.is_exceeded
    assert sink.getvalue() == b"1234"


def test_without_a_sink_the_last_part_is_kept(pipe):
    source, target = pipe
    reader = BoundedReader(source.fileno(), 10**6)
    target.write(b"a" * 20_000 + b"end")
    while reader.read():
        pass
    assert len(reader.tail) == 16_384
    assert reader.tail.endswith(b"aend")
