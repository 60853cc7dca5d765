from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plugins.theft_guard.batch import QueryBatch, row_digests


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
