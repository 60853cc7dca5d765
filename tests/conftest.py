"""Shared by all tests: one sealed demo model, made once, copies of it to spoil, and the command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from secureml import program_log
from secureml.cli.main import main
from tests import loopback
from tests.instance_copies import copy_instance

# How long an example takes says how busy the machine is, and nothing of the claim.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


# For good, and for what is done before the first test as well.
sys.addaudithook(loopback.refuse)


class Said(NamedTuple):
    """How a command ended: its exit code, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> None:
    # A shell that starts a command in the background has it ignore Ctrl-C, and so its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _log_outlives_tests() -> None:
    # Made here, the log's handler writes where pytest began and not where one test captures.
    program_log.configure("warning")


@pytest.fixture(autouse=True)
def _nothing_beyond_loopback() -> Iterator[None]:
    """Fail a test that reached beyond this machine, though it took that for a network's fault."""
    before = len(loopback.REFUSED)
    yield
    reached = loopback.REFUSED[before:]
    del loopback.REFUSED[before:]
    assert reached == [], f"beyond loopback: {reached}"


@pytest.fixture
def type_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Type a line as the console script gets it, without the second a new process costs."""

    def type_it(*words: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return Said(ended.value.code or 0, *capsys.readouterr())

    return type_it


@pytest.fixture(scope="session")
def demo_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder by `init` and `models demo`; read it, never change it."""
    folder = tmp_path_factory.mktemp("demo") / "instance"
    for words in (["init"], ["models", "demo"]):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--instance", str(folder)])
        assert not ended.value.code
    return folder


@pytest.fixture
def fresh_instance(demo_instance: Path, tmp_path: Path) -> Path:
    """A copy of one's own, with its modes."""
    folder = tmp_path / "instance"
    copy_instance(demo_instance, folder)
    return folder
