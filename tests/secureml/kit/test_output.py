"""How commands speak: text for people, JSON for scripts, and faults in one line for both."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from secureml import StoreUnavailable
from secureml.kit.output import emit, json_option


def say(work, *words):
    """Type a command that does ``work``."""

    @click.command()
    @click.argument("name", default="x")
    @json_option
    def command(name: str, as_json: bool) -> None:
        """Do the work."""
        work(name, as_json)

    return CliRunner().invoke(command, list(words))


def raising(error):
    def work(name, as_json):
        raise error

    return work


def test_one_flag_chooses_between_text_and_json():
    def work(name, as_json):
        emit({"name": name}, as_json, f"it is {name}")

    assert say(work, "a").stdout == "it is a\n"
    assert json.loads(say(work, "a", "--json").stdout) == {"name": "a"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.ClickException("no such thing"), 1),
        (StoreUnavailable("no such thing"), 1),
        (click.BadParameter("no such thing"), 2),
    ],
)
def test_a_fault_goes_to_stderr_with_its_exit_code(error, code):
    plain, scripted = say(raising(error)), say(raising(error), "--json")
    assert (plain.exit_code, plain.stdout) == (scripted.exit_code, scripted.stdout) == (code, "")
    assert "no such thing" in plain.stderr
    assert list(json.loads(scripted.stderr)) == ["error"]
    assert "no such thing" in json.loads(scripted.stderr)["error"]
    assert scripted.stderr.count("\n") == 1


def test_a_fault_of_several_lines_is_told_in_one():
    done = say(raising(StoreUnavailable("one\n  two")))
    assert done.stderr == "Error: one two\n"


def test_a_fault_of_ours_is_not_dressed_up():
    assert isinstance(say(raising(ZeroDivisionError())).exception, ZeroDivisionError)
    assert isinstance(say(raising(ZeroDivisionError()), "--json").exception, ZeroDivisionError)


def test_a_command_keeps_its_own_words():
    done = say(raising(ZeroDivisionError()), "--help")
    assert "Do the work." in done.stdout
    assert "--json" in done.stdout
