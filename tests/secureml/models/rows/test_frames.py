"""A frame has the dtypes that its table had, whatever is in a request."""

from __future__ import annotations

import pytest

from secureml.models.card import Feature
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from tests.made_card import card

pd = pytest.importorskip("pandas")
FEATURES = (
    Feature("small", "integer", frame_dtype="int8"),
    Feature("single", frame_dtype="float32"),
    Feature("plan", "category", categories=("b", "a"), frame_dtype="category"),
    Feature("store", "integer", categories=(7, 12), frame_dtype="category", missing="allow",
            unknown="allow"),
    Feature("day", "date", frame_dtype="datetime64[ns]"),
)  # fmt: skip
ROW = [3, 0.1, "a", 12, "2026-01-31"]


@pytest.mark.parametrize("count", [1, 10])
def test_dtypes_are_kept(count):
    rows = RowReader(card(*FEATURES, container="frame")).read([ROW] * count)

    assert list(map(str, rows.dtypes)) == ["int8", "float32", "category", "category",
                                           "datetime64[ns]"]  # fmt: skip
    assert rows["plan"].cat.categories.tolist() == ["b", "a"]
    assert rows["store"].cat.categories.tolist() == [7, 12]
    assert rows["store"].tolist() == [12] * count


@pytest.mark.parametrize("count", [1, 10])
def test_a_category_that_is_unknown_is_missing_where_it_may_be(count):
    rows = RowReader(card(*FEATURES, container="frame")).read([[*ROW[:3], 8, ROW[4]]] * count)

    assert rows["store"].isna().all()


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize(
    ("place", "cell", "rule"),
    [
        (0, 128, "above_maximum"),
        (0, -129, "below_minimum"),
        (0, 2.5, "type"),
        (2, "c", "category"),
        (3, "7", "type"),
        (3, 7.5, "type"),
    ],
)
def test_attack_what_a_dtype_cannot_hold_is_a_fault(place, cell, rule, count):
    row = [*ROW[:place], cell, *ROW[place + 1 :]]
    with pytest.raises(RowsRefused) as refused:
        RowReader(card(*FEATURES, container="frame")).read([row] * count)

    assert refused.value.faults[0] == (f"/instances/0/{place}", rule)
