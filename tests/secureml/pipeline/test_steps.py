"""What a phase takes back from a plugin, and what it does not."""

from __future__ import annotations

import pytest

from secureml import Phase, Principal, Result
from secureml.pipeline.exit_signals import PluginEnded
from secureml.pipeline.steps import Step, WrongReturn, check_returned, detached, differs, reason_of

STEP = Step("ward", print, observe=False, vital=False)
SOMEONE = Principal("c", "c", frozenset(), frozenset(), "", "ward", "")
FULL = Result([1, 0], [[0.1, 0.9], [0.8, 0.2]], (0, 1))
LABELS = Result([1, 0])
NEITHER = [False, True, 0, "", "no", [], {}, Result([1])]


@pytest.mark.parametrize("phase", [p for p in Phase if p not in (Phase.IDENTIFY, Phase.SHAPE)])
@pytest.mark.parametrize("found", NEITHER, ids=repr)
def test_a_phase_that_acts_by_raising_takes_nothing_back(phase, found):
    """`return False` has refused nobody."""
    check_returned(STEP, phase, None)
    with pytest.raises(WrongReturn, match=f"ward.{phase} returned .*must return nothing") as wrong:
        check_returned(STEP, phase, found)
    assert wrong.value.reason == f"ward.{phase}_returned:{type(found).__name__}"


@pytest.mark.parametrize("found", [*NEITHER, SOMEONE.client, SOMEONE.__class__], ids=repr)
def test_identify_returns_a_principal_or_none(found):
    check_returned(STEP, Phase.IDENTIFY, None)
    check_returned(STEP, Phase.IDENTIFY, SOMEONE)
    with pytest.raises(WrongReturn, match="a Principal, or None"):
        check_returned(STEP, Phase.IDENTIFY, found)


def test_identify_names_somebody():
    """A name that is empty would be limited and written down as nobody's."""
    nobody = Principal("", "c", frozenset(), frozenset(), "", "ward", "")
    with pytest.raises(WrongReturn, match="a Principal without a client"):
        check_returned(STEP, Phase.IDENTIFY, nobody)


@pytest.mark.parametrize("found", [None, *NEITHER[:-1], FULL.predictions], ids=repr)
def test_shape_returns_a_result(found):
    check_returned(STEP, Phase.SHAPE, FULL, FULL)
    check_returned(STEP, Phase.SHAPE, LABELS, FULL)
    with pytest.raises(WrongReturn, match="must return a Result"):
        check_returned(STEP, Phase.SHAPE, found, FULL)


@pytest.mark.parametrize(
    "finer",
    [
        FULL,
        Result([1]),
        Result(None),  # type: ignore[arg-type]
        Result([1, 0], [[0.1, 0.9]]),
        Result([1, 0], 5),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_shape_returns_no_finer_result_and_no_broken_one(finer):
    """With the name of who did."""
    with pytest.raises(WrongReturn, match=r"ward\.shape returned another result"):
        check_returned(STEP, Phase.SHAPE, finer, LABELS)


def test_what_was_never_awaited_is_closed_and_so_says_nothing_more():
    """Python's own warning would come later, from anywhere."""

    async def waits():
        """Refuse no one."""

    def yields():
        yield

    for found in (waits(), yields()):
        with pytest.raises(WrongReturn):
            check_returned(STEP, Phase.LIMIT, found)


def test_a_copy_can_be_changed_without_changing_the_answer():
    copy = detached(FULL)
    assert copy == FULL
    copy.predictions[0] = 7
    copy.probabilities[0][1] = None
    assert Result([1, 0], [[0.1, 0.9], [0.8, 0.2]], (0, 1)) == FULL
    assert differs(copy, FULL)
    assert detached(LABELS) == LABELS


def test_what_cannot_be_compared_differs():
    import numpy as np

    assert differs(Result([np.array([1, 2])]), Result([np.array([1, 3])]))
    assert not differs(LABELS, Result([1, 0]))


def test_the_word_for_the_log_names_what_was_raised():
    assert reason_of(ValueError("x")) == "unexpected.ValueError"
    assert reason_of(UnicodeDecodeError("ascii", b"", 0, 1, "x")) == "unexpected.UnicodeDecodeError"
    ended = PluginEnded("x")
    ended.__cause__ = SystemExit(3)
    assert reason_of(ended) == "unexpected.SystemExit"
