"""Everything a card says, asked of rows at once: what is refused, clipped, flagged, and told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.input_rules.rule import Rule
from plugins.input_rules.validation import InputValidator, ValidationPolicy
from secureml.models.card import Feature
from secureml.models.rows.reader import RowReader
from tests.made_card import card

NUMBERS = (Feature("a", "float", 0.0, 10.0), Feature("n", "integer", 0, 10), Feature("c/d"))
WORDS = (Feature("a", "float", 0.0, 10.0, missing="allow"), Feature("t", "text", missing="allow"))


def validated(features, instances, *rules, container="array", **terms):
    """Return the verdict on rows, as lists or objects."""
    about = card(*features, rules=rules, container=container)
    rows = RowReader(about).read(instances)
    report = InputValidator(about, ValidationPolicy(**terms)).validate(rows, instances)
    return rows, report


def listed(rows):
    return rows.tolist() if isinstance(rows, np.ndarray) else rows.to_numpy().tolist()


def test_rows_that_keep_everything_are_the_very_rows():
    rows, report = validated(NUMBERS, [[1, 2, 3]], Rule("r", "a < n"))

    assert report.rows is rows
    assert (report.faults, report.counts) == ({}, {})


def test_what_is_refused_is_told_by_place_and_rule():
    _, report = validated(
        NUMBERS, [[1, 2, 3], {"n": 99, "a": 5, "c/d": 4}, [9, 1, 2]],
        Rule("order", "a <= n"), Rule("small", "`c/d` < 4"),
    )  # fmt: skip

    assert report.faults == {
        "refuse": [
            ("/instances/1/n", "above_maximum"),
            ("/instances/2", "rule:order"),
            ("/instances/1/c~1d", "rule:small"),
        ]
    }
    assert report.counts == {"refuse": 3}


def test_a_value_beyond_its_range_is_clipped_to_the_bound():
    rows, report = validated(
        NUMBERS, [[99, 5, 0], [1, -7, 0], [1, 1, 1]], ranges="clip", margin=0.05
    )

    assert report.rows.tolist() == [[10.5, 5, 0], [1, 0, 0], [1, 1, 1]]  # 10.5 is no whole number
    assert report.faults == {
        "clip": [("/instances/0/0", "above_maximum"), ("/instances/1/1", "below_minimum")]
    }
    assert rows.tolist()[0] == [99, 5, 0]


def test_a_value_beyond_its_range_may_only_be_flagged():
    rows, report = validated(NUMBERS, [[99, 5, 0]], ranges="flag")

    assert report.rows is rows
    assert report.faults == {"flag": [("/instances/0/0", "above_maximum")]}


def test_the_cards_own_word_on_a_range_goes_before_the_operators():
    rules = (Rule("free", "a in range", "flag"), Rule("near", "n in range", "clip"))
    _, report = validated(NUMBERS, [[99, 99, 0], [-99, 5, 0]], *rules)

    assert report.faults == {
        "flag": [("/instances/0/0", "above_maximum"), ("/instances/1/0", "below_minimum")],
        "clip": [("/instances/0/1", "above_maximum")],
    }
    assert report.rows.tolist() == [[99, 11, 0], [-99, 5, 0]]


def test_a_bound_of_the_card_clips_before_anything_else_is_asked():
    """What is asked is what the model will see."""
    rules = (Rule("most", "a <= 5", "clip"), Rule("least", "-1 <= `c/d`", "clip"),
             Rule("order", "a <= n"))  # fmt: skip
    _, report = validated(NUMBERS, [[99, 5, -4]], *rules)

    assert report.rows.tolist() == [[5, 5, -1]]
    assert report.faults == {
        "clip": [("/instances/0/0", "rule:most"), ("/instances/0/2", "rule:least")]
    }


@pytest.mark.parametrize("container", ["array", "frame"])
def test_text_is_cleaned_then_cut_and_missing_text_is_left_alone(container):
    rows, report = validated(
        WORDS, [[1, "a\x00bcd"], [99, None], [2, "abcdef"], [3, "ok"]],
        container=container, ranges="clip", margin=0, text_length=4, long_text="clip",
    )  # fmt: skip

    texts = [row[1] for row in listed(report.rows)]
    assert [texts[0], *texts[2:]] == ["abcd", "abcd", "ok"]
    assert texts[1] != texts[1]
    assert [row[0] for row in listed(report.rows)] == [1, 10, 2, 3]
    assert report.faults["clip"] == [
        ("/instances/0/1", "control_characters"),
        ("/instances/2/1", "text_length"),
        ("/instances/1/0", "above_maximum"),
    ]
    assert listed(rows)[0][1] == "a\x00bcd"
    if container == "frame":
        assert list(report.rows.dtypes) == list(rows.dtypes)


@pytest.mark.parametrize("action", ["refuse", "flag"])
def test_text_may_be_refused_or_flagged_instead(action):
    rows, report = validated(
        WORDS, [[1, "a\x00bcd"]], text_length=4, long_text=action, control_characters=action
    )

    assert report.rows is rows
    assert report.faults == {
        action: [("/instances/0/1", "control_characters"), ("/instances/0/1", "text_length")]
    }


def test_a_length_of_the_card_cuts():
    _, report = validated(WORDS, [[1, "abcdef"]], Rule("short", "length(t) <= 2", "clip"))

    assert listed(report.rows) == [[1, "ab"]]
    assert report.faults == {"clip": [("/instances/0/1", "rule:short")]}


def test_at_most_twenty_are_told_of_each_and_all_are_counted():
    rows = [[99, 99, 5]] * 30
    _, report = validated(
        NUMBERS, rows, Rule("one", "a in range", "flag"), Rule("two", "`c/d` < 5"), ranges="clip"
    )

    assert {action: len(faults) for action, faults in report.faults.items()} == {
        "flag": 20, "clip": 20, "refuse": 20,
    }  # fmt: skip
    assert report.counts == {"flag": 30, "clip": 30, "refuse": 30}


values = st.floats(-1e300, 1e300) | st.integers(-30, 30)


@given(st.lists(st.tuples(values, st.integers(-30, 30), values), min_size=1, max_size=5))
def test_clipped_rows_need_no_more_clipping_and_only_what_was_told_has_changed(rows):
    """Whatever is sent, for ranges and bounds."""
    instances = [list(row) for row in rows]
    rules = (Rule("most", "`c/d` <= 7", "clip"), Rule("least", "`c/d` >= -7", "clip"))
    about = card(*NUMBERS, rules=rules)
    validator = InputValidator(about, ValidationPolicy(ranges="clip"))
    before = RowReader(about).read(instances)
    report = validator.validate(before, instances)
    again = validator.validate(report.rows, instances)

    assert again.faults == {}
    changed = {f"/instances/{r}/{c}" for r, c in np.argwhere(report.rows != before).tolist()}
    assert changed == {path for path, _ in report.faults.get("clip", [])} or len(changed) > 6
    assert set(report.faults) <= {"clip"}


@pytest.mark.parametrize("container", ["array", "frame"])
def test_whole_numbers_that_are_clipped_stay_whole_to_the_last_digit(container):
    """A model that makes text of them must see "3", as in training."""
    pytest.importorskip("pandas")
    about = card(
        Feature("n", "integer", 0, 3),
        Feature("m", "integer", 0, 2**62),
        Feature("word", "category", categories=("a",)),
        container=container,
        rules=(Rule("most", "n <= 3", "clip"),),
    )
    instances = [[9, 2**61 + 1, "a"], [2, 2**61 + 3, "a"], [-8, -5, "a"]]
    rows = RowReader(about).read(instances)
    report = InputValidator(about, ValidationPolicy(ranges="clip", margin=0.0)).validate(
        rows, instances
    )
    found = report.rows if container == "array" else report.rows.to_numpy(dtype=object)

    assert [type(cell) for cell in found[:, 0]] == [int] * 3
    assert found[:, 0].tolist() == [3, 2, 0]
    assert [type(cell) for cell in found[:, 1]] == [int] * 3
    assert found[:, 1].tolist() == [2**61 + 1, 2**61 + 3, 0]
