"""What sealing tells of the table."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor


def test_words_that_pandas_takes_for_missing_are_told_where_they_could_be_words(seal):
    pytest.importorskip("pandas")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    words = np.array([["DE"], ["CH"], [np.nan], ["DE"]] * 10, dtype=object)
    model = make_pipeline(
        OneHotEncoder(handle_unknown="ignore", sparse_output=False), HistGradientBoostingRegressor()
    ).fit(words, range(40))
    table = "land,y\n" + "DE,1\nCH,2\nNA,3\nDE,4\n" * 10
    sealed = seal(model, table=table, target="y")

    assert sealed.card.features[0].categories == ("CH", "DE")
    assert "'land' holds 'NA' (10), taken for missing as pandas does" in sealed.notes[-1]
