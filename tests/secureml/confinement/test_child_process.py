"""How a child is started."""

from __future__ import annotations

import os
import socket

import pytest

from secureml.confinement import child_process


def test_the_environment_is_what_is_given_and_what_numeric_libraries_need(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    made = child_process.environment({"OMP_NUM_THREADS": "2", "X": "1"})

    assert "AWS_SECRET_ACCESS_KEY" not in made
    assert "PATH" not in made
    assert (made["OMP_NUM_THREADS"], made["X"]) == ("2", "1")
    assert made["OPENBLAS_CORETYPE"] == "Haswell"


def test_a_pipe_is_an_input_and_a_socket_is_none():
    source, target = os.pipe()
    child_process.check_input("table", source)
    with pytest.raises(ValueError, match="'table' can be written"):
        child_process.check_input("table", target)
    os.close(source)
    os.close(target)
    with socket.socket() as channel, pytest.raises(ValueError, match="neither a file nor a pipe"):
        child_process.check_input("table", channel.fileno())


def test_a_user_is_changed_by_root_alone_and_only_where_that_user_can_read(monkeypatch):
    monkeypatch.setattr(child_process.os, "geteuid", lambda: 1000)
    assert child_process.user_to_become([]) is None
    monkeypatch.setattr(child_process.os, "geteuid", lambda: 0)
    monkeypatch.setattr(child_process.readable_paths, "readable_by_others", lambda paths: True)
    assert child_process.user_to_become([]) == 65534
    monkeypatch.setattr(child_process.readable_paths, "readable_by_others", lambda paths: False)
    assert child_process.user_to_become([]) is None
