"""The program's own log: one JSON object a line, whatever is in it."""

from __future__ import annotations

import json
import logging
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonjsonlogger.json import JsonFormatter

from secureml import program_log


@pytest.fixture
def logger():
    """The program's logger without a handler; put back as it was."""
    found = logging.getLogger("secureml")
    before, level = found.handlers[:], found.level
    found.handlers[:] = []
    yield found
    found.handlers[:] = before
    found.setLevel(level)


@pytest.fixture
def said(logger):
    """What it prints from now on."""
    program_log.configure("info")
    stream = StringIO()
    logger.handlers[0].setStream(stream)
    return stream


def test_a_line_says_when_how_grave_who_and_what(logger, said):
    logging.getLogger("secureml.pipeline").warning("refused %s", "abc")
    line = json.loads(said.getvalue())
    assert line["message"] == "refused abc"
    assert (line["level"], line["logger"]) == ("WARNING", "secureml.pipeline")
    assert len(line["time"]) == len("2026-01-01T00:00:00+0000")


@given(st.text(st.characters(codec="utf-8", exclude_categories=())))
def test_attack_no_text_can_pose_as_two_lines(text):
    record = logging.LogRecord("secureml", logging.INFO, "", 0, "%s", (text,), None)
    line = JsonFormatter(program_log._FIELDS, style="{").format(record)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == text


def test_a_traceback_stays_in_its_object(logger, said):
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        logger.exception("it failed")
    (line,) = said.getvalue().splitlines()
    assert "ValueError: one\ntwo" in json.loads(line)["exc_info"]


def test_the_level_is_what_the_operator_says(logger, said):
    logger.debug("no")
    program_log.configure("error")
    logger.warning("no")
    program_log.configure("debug")
    logger.debug("yes")
    assert [json.loads(line)["message"] for line in said.getvalue().splitlines()] == ["yes"]


def test_configured_twice_it_still_says_everything_once(logger):
    program_log.configure("info")
    program_log.configure("info")
    assert len(logger.handlers) == 1
