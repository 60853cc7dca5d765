from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.theft_guard.batch import EncodedBatch, QueryBatch, row_digests


@pytest.mark.parametrize("table", [np.array, pd.DataFrame])
def test_a_part_has_the_same_rows_of_everything(table):
    rows = table([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    whole = QueryBatch(
        rows, np.array([0.1, 0.2, 0.3]), np.array([0, 1, 2]), row_digests(rows, b"k")
    )
    part = whole.part([0, 2])

    assert len(part) == 2
    assert np.asarray(part.rows)[:, 0].tolist() == [1.0, 5.0]
    assert part.margins.tolist() == [0.1, 0.3]
    assert part.labels.tolist() == [0, 2]
    assert part.digests == row_digests(part.rows, b"k")
    assert QueryBatch(rows, None, whole.labels, whole.digests).part([1]).margins is None


def test_digests_know_every_column_and_the_key():
    words = np.array([[1.0, "a"], [1.0, "b"]], dtype=object)
    assert len(set(row_digests(words, b"k"))) == 2
    assert row_digests(words, b"k")[0] != row_digests(words, b"l")[0]
    assert row_digests(np.zeros((1, 2)), b"k")[0] == row_digests(np.zeros((2, 2)), b"k")[1]


FLOATS = st.lists(
    st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), min_size=1, max_size=12
)


@settings(max_examples=40)
@given(FLOATS)
def test_a_digest_is_the_hash_of_the_rows_bytes_and_of_nothing_else(rows):
    """The same alone, in a batch, in another memory order, and in a part."""
    table = np.array(rows)
    alone = [
        int.from_bytes(blake2b(row.tobytes(), digest_size=8, key=b"k").digest(), "little") | 1
        for row in table
    ]
    assert row_digests(table, b"k") == alone
    assert row_digests(np.asfortranarray(table), b"k") == alone
    assert row_digests(table[::-1], b"k") == alone[::-1]
    assert row_digests(np.repeat(table, 2, axis=1)[:, ::2], b"k") == alone


@settings(max_examples=40)
@given(FLOATS)
def test_rows_that_differ_have_digests_that_differ_and_none_is_zero(rows):
    table = np.array(rows)
    digests = row_digests(table, b"k")
    assert len(set(digests)) == len({row.tobytes() for row in table})
    assert all(0 < digest < 2**64 for digest in digests)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1.0, 2.0], [2.0, 1.0]),
        ([1.0, 2.0], [1.0, np.nextafter(2.0, 3.0)]),
        ([0.0, 0.0], [0.0, 5e-324]),
        ([1e308, 0.0], [-1e308, 0.0]),
    ],
)
def test_attack_a_row_that_differs_in_the_last_bit_is_a_new_row(one, other):
    assert len(set(row_digests(np.array([one, other]), b"k"))) == 2


@pytest.mark.parametrize("dtype", [np.int64, bool, np.float32, object])
def test_rows_of_other_types_have_digests_of_their_values(dtype):
    rows = np.array([[0, 1], [1, 0], [0, 1]], dtype=dtype)
    first, second, third = row_digests(rows, b"k")
    assert first == third != second


def test_a_frame_is_known_by_words_missing_cells_and_columns_that_are_not_compared():
    frame = pd.DataFrame({"a": [1.0, 1.0, 1.0], "note": ["x", None, "x"], "n": [1, 1, 2]})
    digests = row_digests(frame, b"k")
    assert len(set(digests)) == 3
    assert row_digests(frame.iloc[[2, 0]], b"k") == [digests[2], digests[0]]


def test_attack_a_word_that_looks_like_two_cells_is_no_other_row():
    rows = np.array([["a', 'b", "c"], ["a", "b', 'c"]], dtype=object)
    assert len(set(row_digests(rows, b"k"))) == 2


def test_no_rows_have_no_digests():
    assert row_digests(np.zeros((0, 3)), b"k") == []


def test_lengths_are_numbers_of_rows():
    rows = np.zeros((2, 3))
    encoded = EncodedBatch(rows, np.zeros((2, 3), int), [[1] * 4, [2] * 4], np.zeros(2, int))
    assert len(encoded) == len(QueryBatch(rows, None, np.zeros(2, int), [1, 2])) == 2


@settings(max_examples=25)
@given(
    st.integers(1, 20).flatmap(
        lambda n: st.lists(st.integers(0, n - 1), min_size=1).map(lambda chosen: (n, chosen))
    )
)
def test_a_part_of_a_part_is_the_part_of_both(drawn):
    count, chosen = drawn
    rows = np.arange(2.0 * count).reshape(count, 2)
    whole = QueryBatch(rows, np.arange(count), np.arange(count), list(range(1, count + 1)))
    part = whole.part(chosen).part(range(len(chosen) - 1, -1, -1))

    assert part.digests == [place + 1 for place in reversed(chosen)]
    assert part.rows[:, 0].tolist() == [2.0 * place for place in reversed(chosen)]
    assert part.labels.tolist() == part.margins.tolist() == list(reversed(chosen))
