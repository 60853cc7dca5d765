"""How an answer is made coarser, and that it is never anything else."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.output_rules.fidelity import FULL, LABELS, Fidelity, coarsen

SHARES = [[0.98765, 0.01234, 0.00001], [0.25, 0.25, 0.5]]


@pytest.mark.parametrize(
    ("fidelity", "expected"),
    [
        (FULL, SHARES),
        (LABELS, None),
        (Fidelity(decimals=2), [[0.99, 0.01, 0.0], [0.25, 0.25, 0.5]]),
        (Fidelity(decimals=0), [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        (Fidelity(top=1), [[0.98765, None, None], [None, None, 0.5]]),
        (Fidelity(top=2), [[0.98765, 0.01234, None], [0.25, None, 0.5]]),
        (Fidelity(top=1, decimals=1), [[1.0, None, None], [None, None, 0.5]]),
        (Fidelity(top=99), SHARES),
    ],
)
def test_probabilities_are_withheld_or_rounded_in_their_place(fidelity, expected):
    """Of equals the first stays; what is withheld is None."""
    assert coarsen([0, 2], SHARES, fidelity, amounts=False) == ([0, 2], expected)


def test_labels_are_never_rounded_and_amounts_are():
    """A class may be called 1.25."""
    assert coarsen([1.25, 2.0], None, Fidelity(decimals=1), amounts=False)[0] == [1.25, 2.0]
    assert coarsen([1.26, -2.0], None, Fidelity(decimals=1), amounts=True)[0] == [1.3, -2.0]
    assert coarsen([1.26], None, LABELS, amounts=True) == ([1.26], None)


def test_what_an_earlier_plugin_withheld_stays_withheld():
    """And is not counted among the highest."""
    shares = [[None, 0.25, 0.125]]

    assert coarsen([1], shares, Fidelity(top=1), amounts=False)[1] == [[None, 0.25, None]]
    assert coarsen([1], shares, Fidelity(decimals=1), amounts=False)[1] == [[None, 0.2, 0.1]]


fidelities = st.builds(
    Fidelity, st.booleans(), st.none() | st.integers(1, 5), st.none() | st.integers(0, 15)
)
matrices = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(st.none() | st.floats(0, 1), min_size=width, max_size=width),
        min_size=1,
        max_size=5,
    )
)


def about(share, decimals):
    """Tell the two decimals a number may be rounded to."""
    step = Decimal(1).scaleb(-decimals)
    return {
        float(Decimal(share).quantize(step, rounding=way)) for way in (ROUND_FLOOR, ROUND_CEILING)
    }


@given(matrices, fidelities)
def test_an_answer_is_never_finer_than_it_was(shares, fidelity):
    """Whatever came in and whatever is asked: each number is itself, its rounding, or gone."""
    labels = list(range(len(shares)))
    before = [list(row) for row in shares]
    predictions, found = coarsen(labels, shares, fidelity, amounts=False)

    assert shares == before
    assert predictions == labels
    if not fidelity.probabilities:
        assert found is None
        return
    assert found is not None
    for row, coarse in zip(shares, found, strict=True):
        kept = [share for share in coarse if share is not None]
        assert len(kept) <= min(fidelity.top or 5, sum(share is not None for share in row))
        for was, share in zip(row, coarse, strict=True):
            if share is None:
                continue
            assert was is not None
            assert (
                share == was
                if fidelity.decimals is None
                else share in about(was, fidelity.decimals)
            )


@given(matrices, fidelities, fidelities)
def test_a_second_plugin_takes_away_and_gives_nothing_back(shares, first, second):
    """In any order of a list."""
    labels = [0] * len(shares)
    _, once = coarsen(labels, shares, first, amounts=False)
    _, twice = coarsen(labels, once, second, amounts=False)

    if once is None:
        assert twice is None
    elif twice is not None:
        for before, after in zip(once, twice, strict=True):
            assert all(b is not None for b, a in zip(before, after, strict=True) if a is not None)


@given(matrices, st.integers(0, 15))
def test_rounding_twice_is_rounding_once(shares, decimals):
    """What was said once can be said again."""
    _, once = coarsen([0] * len(shares), shares, Fidelity(decimals=decimals), amounts=False)
    _, twice = coarsen([0] * len(shares), once, Fidelity(decimals=decimals), amounts=False)

    assert once == twice
