"""A date is one text of ISO 8601, and nothing that only looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from secureml.models.card import Feature
from secureml.models.rows.dates import is_date, read_date
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from tests.made_card import card

DATES = card(Feature("day", "date", missing="allow"), Feature("n"), container="frame")


@pytest.mark.parametrize(
    "text",
    ["2026-01-31", "2026-01-31T10:00", "2026-01-31 10:00:00", "2024-02-29T23:59:59.123456"],
)
def test_dates_are_read_to_the_microsecond(text):
    assert is_date(text)
    assert read_date(text) == np.datetime64(text.replace(" ", "T"), "us")


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026", "2026-1-31", "2026-02-30", "31.01.2026", "2026-01-31T25:00", "now", "NaT"),
        *("2026-01-31Z", "2026-01-31T10:00+01:00", "9999-01-01", "1500-01-01", "-2026-01-01"),
        *("2026-01-31T10:00:00.1234567", "\u0662026-01-31", "2026-01-31\n"),
    ],
)
def test_attack_what_is_no_such_date_is_none(text):
    assert not is_date(text)


@pytest.mark.parametrize("count", [1, 10])
def test_a_frame_has_pandas_own_dates(count):
    pd = pytest.importorskip("pandas")
    rows = RowReader(DATES).read([["2026-01-31", 1]] * count + [{"n": 2}])

    assert rows["day"].dtype == pd.to_datetime(pd.Series(["2026-01-31"])).dtype
    assert rows["day"].isna().tolist() == [False] * count + [True]
    assert rows["day"][0] == pd.Timestamp("2026-01-31")


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize(("cell", "rule"), [("2026-02-30", "date"), (5, "type"), (True, "type")])
def test_a_date_that_is_none_is_a_fault(cell, rule, count):
    pytest.importorskip("pandas")
    with pytest.raises(RowsRefused) as refused:
        RowReader(DATES).read([[cell, 1]] * count)

    assert refused.value.faults[0] == ("/instances/0/0", rule)
