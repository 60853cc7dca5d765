"""Typed columns are the same again after they travelled, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.typed_columns import (
    MARK,
    TypedColumn,
    decode,
    encode,
    from_pandas,
    plain,
    to_pandas,
)

pd = pytest.importorskip("pandas")
FRAME = pd.DataFrame(
    {
        "f": np.array([0.1, np.nan, 1e-310]),
        "g": np.array([0.1, 2, 3], dtype=np.float32),
        "i": [1, 2, 2**53 + 1],
        "j": np.array([1, 2, 3], dtype=np.int8),
        "b": [True, False, True],
        "s": ["02134", "NA", None],
        "c": pd.Categorical(["b", None, "a"], categories=["b", "a"]),
        "n": pd.Categorical([3, 1, 3], categories=[1, 3]),
        "d": pd.to_datetime(["2026-01-31", None, "2026-02-01T10:00:00"], format="ISO8601"),
        "t": pd.to_datetime(["2026-01-31", "2026-02-01", "2026-02-02"]).astype("datetime64[ns]"),
    }
)


def test_a_frame_is_the_same_frame_again():
    again = to_pandas(decode(encode(from_pandas(FRAME))))

    pd.testing.assert_frame_equal(again, FRAME, check_exact=True)


def test_types_of_pandas_own_are_what_the_model_sees():
    frame = pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": pd.array([1, None], "Int64")})
    columns = from_pandas(frame)

    assert columns["a"] == TypedColumn([1, 2], "int64")
    assert columns["b"] == TypedColumn([1, None], "float64")


@pytest.mark.parametrize(
    ("series", "says"),
    [
        (pd.Series([1, "a"], dtype=object), "'x' holds values of the types int and str"),
        (pd.to_datetime(pd.Series(["2026-01-31"])).dt.tz_localize("UTC"), "times with a zone"),
        (pd.Series([1.5, 2.5]).astype("category"), "neither texts nor whole numbers"),
        (pd.Series([np.inf]), "an infinite number"),
        (pd.Series([(1, 2)]), "types tuple"),
    ],
)
def test_a_column_of_no_type_is_named(series, says):
    with pytest.raises(ModelRefused, match=says):
        from_pandas(pd.DataFrame({"x": series}))


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ModelRefused, match="two columns 'a'"):
        from_pandas(pd.DataFrame([[1, 2]], columns=["a", "a"]))


TWO_LENGTHS = (
    b'[{"name": "a", "dtype": "str", "categories": null, "cells": []}, '
    b'{"name": "b", "dtype": "str", "categories": null, "cells": ["x"]}]'
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'[{"name": 1, "dtype": "int64", "categories": null, "cells": []}]',
        b'[{"name": "a", "dtype": "object", "categories": null, "cells": []}]',
        b'[{"name": "a", "dtype": "category", "categories": null, "cells": []}]',
        b'[{"name": "a", "dtype": "str", "categories": null, "cells": [[]]}]',
        TWO_LENGTHS,
    ],
)
def test_attack_what_is_no_table_of_columns_is_refused(content):
    with pytest.raises(ModelRefused, match="cannot be read"):
        decode(MARK + content)


def test_whole_numbers_among_floats_are_floats():
    assert plain("a", [1, 2.5, None], "object") == TypedColumn([1.0, 2.5, None], "float64")
