"""What a chain tells about itself has the form of every event's name."""

from __future__ import annotations

from plugins.audit_log import told
from secureml import Event


def test_its_words_are_names_of_events() -> None:
    words = (told.OPENED, told.CLOSED, told.TORN, told.CUT, told.HEAD_LOST, told.TAIL_LOST)
    assert {Event(word).name for word in (*words, told.BEGUN)} == {*words, told.BEGUN}


def test_the_line_of_a_broken_log_holds_the_way_out() -> None:
    assert "fix: secureml audit-log verify" in told.BROKEN % ("logs/audit", 7)
