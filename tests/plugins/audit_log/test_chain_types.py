"""The events of the chain itself have the form of every event's name."""

from __future__ import annotations

from plugins.audit_log import chain_types as types
from secureml import Event


def test_the_events_of_the_chain_have_valid_names() -> None:
    names = (types.OPENED, types.CLOSED, types.TORN, types.TRUNCATED, types.HEAD_LOST)
    names = (*names, types.TAIL_LOST, types.STARTED)
    assert {Event(name).name for name in names} == set(names)


def test_the_message_about_a_broken_log_contains_the_fix() -> None:
    assert "fix: secureml audit-log verify" in types.LOG_BROKEN % ("logs/audit", 7)
