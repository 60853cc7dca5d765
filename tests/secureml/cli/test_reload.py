from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from secureml.cli.reload import master_of
from secureml.state.serving_reports import ServerReport

HOST = socket.gethostname()


@pytest.fixture
def named_gunicorn():
    """A process whose command line says gunicorn, as a worker's does."""
    code = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, "gunicorn"], stdin=-1) as process:
        yield process.pid
        process.stdin.close()


def report(pid, host=HOST):
    return ServerReport(f"{host}:{pid}", {}, {})


def test_the_master_is_who_started_a_worker_of_this_host(named_gunicorn):
    assert master_of([report(named_gunicorn)], HOST) == os.getpid()


def test_a_worker_of_another_host_is_none_of_ours(named_gunicorn):
    assert master_of([report(named_gunicorn, "elsewhere")], HOST) is None


@pytest.mark.parametrize("pid", [1, 999_999_999])
def test_attack_a_number_that_is_another_process_by_now_is_not_signalled(pid):
    assert master_of([report(pid)], HOST) is None


def test_without_a_server_the_command_says_so(fresh_instance, type_command):
    said = type_command("reload", "--instance", fresh_instance)
    assert said.code == 1
    assert "no server of this instance runs here; fix: start it" in said.err


def test_the_first_process_of_a_container_is_not_replaced(
    fresh_instance, type_command, monkeypatch
):
    monkeypatch.setattr("secureml.cli.reload.master_of", lambda reports, host: 1)
    said = type_command("reload", "--instance", fresh_instance)
    assert said.code == 1
    assert "which ends with it; fix: replace the container" in said.err


def test_settings_that_cannot_start_stop_it_first(fresh_instance, type_command):
    with (fresh_instance / "secureml.toml").open("a") as file:
        file.write("\n[nonsense]\nx = 1\n")
    said = type_command("reload", "--instance", fresh_instance)
    assert said.code == 2
    assert "nonsense" in said.err
