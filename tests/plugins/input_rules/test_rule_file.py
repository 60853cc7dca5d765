"""The file of rules is read strictly."""

from __future__ import annotations

import pytest

from plugins.input_rules.rule import Rule, RuleError
from plugins.input_rules.rule_file import FILE_LIMIT, read_rules
from tests.rule_texts import one


def test_rules_are_read_in_their_order(rules):
    text = one("a < b", "first") + one("a <= 5", "second", action="clip")

    assert read_rules(rules(text)) == (
        Rule("first", "a < b", "refuse"),
        Rule("second", "a <= 5", "clip"),
    )
    assert read_rules(None) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rules = []",
        "rules = 1",
        "[rules]\nname = 'r'",
        "rules = [1]",
        one("a < b") + "[other]\n",
        "[[rules]]\nname = 'r'\n",
        one("a < b", sentence="x"),
        one(7),
        one("a < b", action="drop"),
        one("a < b", action=True),
        "[[rules]\n",
        b"\xff",
        "#" * (FILE_LIMIT + 1),
    ],
)
def test_a_file_that_holds_anything_else_is_refused(rules, text):
    with pytest.raises(RuleError):
        read_rules(rules(text))
