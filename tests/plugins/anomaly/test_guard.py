"""One odd minute shuts nobody out; a row of them does, where the operator wants it."""

from __future__ import annotations

import pytest

from plugins.anomaly.bars import Bar
from plugins.anomaly.baseline import Reason, ValidationReport
from plugins.anomaly.guard import Terms, deeds, words
from plugins.anomaly.ledger import Standing

ODD = ValidationReport(0.8, unusual=True, reasons=(Reason("missing", 1.0, 0.0, 0.01),))
USUAL = ValidationReport(0.4, unusual=False, reasons=())
WHO = "address:192.0.2.1"


def terms(act, patience=3):
    return Terms("alert", act, patience, 900.0)


def run(verdicts, act, before=()):
    asked = [(WHO, 60.0 * number, verdict) for number, verdict in enumerate(verdicts)]
    return deeds(asked, {each.subject: each for each in before}, terms(act), 1000.0)


def test_who_is_only_observed_is_neither_told_of_nor_kept_out():
    assert [(d.emitted, d.bar) for d in run([ODD] * 5, "observe")] == [(False, None)] * 5


def test_each_unusual_window_is_told_and_none_that_is_usual():
    assert [d.emitted for d in run([ODD, USUAL, ODD], "alert")] == [True, False, True]


@pytest.mark.parametrize(("act", "until"), [("hold", None), ("ban", 1900.0)])
def test_the_third_in_a_row_is_too_many(act, until):
    found = run([ODD, ODD, ODD], act)
    assert [d.bar for d in found[:2]] == [None, None]
    assert found[2].bar == Bar(WHO, act, 1000.0, until, words(found[2].standing))


def test_a_usual_window_in_between_is_a_new_beginning():
    assert all(d.bar is None for d in run([ODD, ODD, USUAL, ODD, ODD], "ban"))


def test_what_was_judged_before_counts():
    before = [Standing(WHO, 0.0, 0.8, 2, [])]
    [deed] = run([ODD], "ban", before)
    assert deed.bar is not None


def test_a_client_is_dealt_with_by_its_own_rule():
    asked = [("client:acme", 60.0 * number, ODD) for number in range(5)]
    found = deeds(asked, {}, Terms("hold", "observe", 3, 900.0), 0.0)
    assert found[2].bar == Bar("client:acme", "hold", 0.0, None, words(found[2].standing))


def test_the_reasons_are_a_sentence():
    standing = Standing(WHO, 0.0, 0.8, 1, [["missing", 1.0, 0.0, 0.01]])
    assert words(standing) == "missing 1.00 (usually 0.00 to 0.01)"
