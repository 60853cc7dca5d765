"""Text as a model should see it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.input_rules.text import clean, too_long, unclean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("tab\tline\r\n", "tab\tline\r\n"),
        ("a\x00b\x1b[31mc\x7f\x85", "ab[31mc"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("\ufeffmark\ufffe\uffff", "mark"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # Persian is written with joiners
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("", ""),
    ],
)
def test_control_characters_go_and_peoples_text_stays(text, cleaned):
    """Joiners belong to how people write; overrides to how text lies."""
    assert clean(text) == cleaned


@given(st.text())
def test_what_is_clean_is_found_clean_and_nothing_else_is_lost(text):
    """Cleaning twice is cleaning once, and keeps order."""
    cleaned = clean(text)

    assert unclean([cleaned]) == []
    assert (unclean([text]) == [0]) is (cleaned != text)
    assert clean(cleaned) == cleaned
    left = iter(text)
    assert all(letter in left for letter in cleaned)
    assert not any(unicodedata.category(c) == "Cc" for c in cleaned if c not in "\t\n\r")


def test_places_are_found_and_what_is_no_text_has_none():
    """A missing text is a NaN among strings."""
    cells = ["ok", float("nan"), "a\x00", None, "\x00"]

    assert unclean(cells) == [2, 4]
    assert too_long(["ab", "abc", float("nan"), "😀😀"], 2) == [1]
