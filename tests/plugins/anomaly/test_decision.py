"""One unusual minute blocks nobody; several in a row do, where the operator wants it."""

from __future__ import annotations

import pytest

from plugins.anomaly.baseline import Reason, WindowScore
from plugins.anomaly.blocks import Block
from plugins.anomaly.decision import Policy, decide, describe
from plugins.anomaly.window_store import SubjectScore

UNUSUAL = WindowScore(0.8, unusual=True, reasons=(Reason("missing", 1.0, 0.0, 0.01),))
USUAL = WindowScore(0.4, unusual=False, reasons=())
WHO = "address:192.0.2.1"


def policy(action, patience=3):
    return Policy("alert", action, patience, 900.0)


def run(scores, action, before=()):
    windows = [(WHO, 60.0 * number, score) for number, score in enumerate(scores)]
    return decide(windows, {each.subject: each for each in before}, policy(action), 1000.0)


def test_who_is_only_observed_is_neither_reported_nor_blocked():
    assert [(d.alert, d.block) for d in run([UNUSUAL] * 5, "observe")] == [(False, None)] * 5


def test_each_unusual_window_is_reported_and_none_that_is_usual():
    assert [d.alert for d in run([UNUSUAL, USUAL, UNUSUAL], "alert")] == [True, False, True]


@pytest.mark.parametrize(("action", "until"), [("hold", None), ("ban", 1900.0)])
def test_the_third_in_a_row_is_too_many(action, until):
    found = run([UNUSUAL, UNUSUAL, UNUSUAL], action)
    assert [d.block for d in found[:2]] == [None, None]
    assert found[2].block == Block(WHO, action, 1000.0, until, describe(found[2].score))


def test_a_usual_window_in_between_is_a_new_beginning():
    assert all(d.block is None for d in run([UNUSUAL, UNUSUAL, USUAL, UNUSUAL, UNUSUAL], "ban"))


def test_earlier_unusual_windows_count():
    before = [SubjectScore(WHO, 0.0, 0.8, 2, [])]
    [action] = run([UNUSUAL], "ban", before)
    assert action.block is not None


def test_a_client_has_an_action_of_its_own():
    windows = [("client:acme", 60.0 * number, UNUSUAL) for number in range(5)]
    found = decide(windows, {}, Policy("hold", "observe", 3, 900.0), 0.0)
    assert found[2].block == Block("client:acme", "hold", 0.0, None, describe(found[2].score))


def test_the_reasons_are_a_sentence():
    score = SubjectScore(WHO, 0.0, 0.8, 1, [["missing", 1.0, 0.0, 0.01]])
    assert describe(score) == "missing 1.00 (usually 0.00 to 0.01)"


def test_a_ban_is_renewed_by_each_further_unusual_window():
    found = run([UNUSUAL] * 5, "ban")
    assert [d.block is not None for d in found] == [False, False, True, True, True]
    assert [d.score.streak for d in found] == [1, 2, 3, 4, 5]


def test_subjects_have_streaks_of_their_own():
    windows = [(f"client:{n % 2}", 60.0 * n, UNUSUAL) for n in range(4)]
    found = decide(windows, {}, Policy("hold", "hold", 2, 900.0), 0.0)
    assert [(d.score.subject, d.score.streak) for d in found] == [
        ("client:0", 1),
        ("client:1", 1),
        ("client:0", 2),
        ("client:1", 2),
    ]


def test_a_text_of_reasons_fits_the_column():
    many = [["a" * 60, 1.0, 0.0, 0.01]] * 9
    assert len(describe(SubjectScore(WHO, 0.0, 0.8, 1, many))) == 200


@pytest.mark.parametrize(("patience", "blocked"), [(1, 1), (2, 2), (5, 5), (100, None)])
def test_a_block_comes_with_the_window_that_patience_ends_at(patience, blocked):
    windows = [(WHO, 60.0 * number, UNUSUAL) for number in range(10)]
    found = decide(windows, {}, policy("hold", patience), 0.0)
    first = next((number for number, each in enumerate(found, 1) if each.block), None)
    assert first == blocked


def test_no_windows_have_no_actions():
    assert decide([], {}, policy("ban"), 0.0) == []
