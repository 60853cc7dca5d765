"""Where a result goes, and what becomes of it."""

from __future__ import annotations

import io
import os

import pytest

from secureml.confinement.limits import Limits
from secureml.confinement.result_channel import ResultChannel


def test_a_file_is_removed_unless_it_is_kept(tmp_path):
    path = tmp_path / "result"
    with ResultChannel(path, Limits()) as channel:
        os.write(channel.descriptor, b"x")
    assert not path.exists()
    with ResultChannel(path, Limits()) as channel:
        channel.keep()
    assert path.exists()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "result").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        ResultChannel(tmp_path / "result", Limits())
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_beyond_its_limit_is_told_by_its_size(tmp_path):
    with ResultChannel(tmp_path / "result", Limits(output=3)) as channel:
        os.write(channel.descriptor, b"abc")
        assert not channel.is_too_long()
        os.write(channel.descriptor, b"d")
        assert channel.is_too_long()


def test_a_pipe_ends_when_its_writer_does():
    sink = io.BytesIO()
    with ResultChannel(sink, Limits()) as channel:
        os.write(channel.descriptor, b"abc")
        channel.started()
        while channel.reader.read():
            pass
        assert channel.reader.has_ended
        assert not channel.is_too_long()
    assert sink.getvalue() == b"abc"


def test_no_output_is_no_descriptor():
    with ResultChannel(None, Limits()) as channel:
        assert (channel.descriptor, channel.reader) == (None, None)
        assert not channel.is_too_long()
