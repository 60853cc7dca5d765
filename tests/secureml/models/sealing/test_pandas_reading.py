"""Pandas reads the table by the same words as we do, and on its own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Feature
from secureml.models.sealing.csv_dialect import Dialect
from secureml.models.sealing.pandas_reading import PandasReading
from secureml.models.sealing.table_file import TableFile
from secureml.models.sealing.typed_columns import TypedColumn, encode
from tests.made_card import card

pd = pytest.importorskip("pandas")
MODEL = LinearRegression().fit([[1.0]], [1])
USUAL = Dialect(",", ".", "utf-8-sig")


def rows(text, found, *, types=None, dialect=USUAL):
    file = TableFile("t.csv", text if isinstance(text, bytes) else text.encode())
    return PandasReading(file, dialect, types or {}).rows(found, MODEL)


def test_an_array_is_made_of_numbers():
    found = rows("a,y\n1,0\n2.5,0\n", card(Feature("a")))

    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[1.0], [2.5]]


def test_a_file_is_read_as_it_is_written():
    dialect = Dialect(";", ",", "cp1252")

    assert rows("ä;b\n1,5;2\n".encode("cp1252"), card(Feature("ä")), dialect=dialect) == [[1.5]]


def test_columns_are_of_the_types_that_are_said():
    features = (
        Feature("zip", "text"),
        Feature("plan", "category", categories=("x", "y"), frame_dtype="category"),
        Feature("day", "date"),
    )
    types = {"zip": "text", "plan": "categorical", "day": "date"}
    text = "zip,plan,day\n01001,y,2026-01-31\n"
    found = rows(text, card(*features, container="frame"), types=types)

    assert found["zip"].tolist() == ["01001"]
    assert found["plan"].cat.categories.tolist() == ["x", "y"]
    assert found["day"][0] == pd.Timestamp("2026-01-31")


def test_typed_columns_are_a_frame_of_their_types():
    content = encode({"a": TypedColumn([1.5], "float32"), "y": TypedColumn([0], "int64")})
    found = rows(content, card(Feature("a"), container="frame"), dialect=None)

    assert str(found["a"].dtype) == "float32"
    assert list(found) == ["a"]


def test_objects_have_no_names_of_what_is_missing():
    features = (Feature("a", missing="allow"), Feature("b", "text", missing="allow"))
    found = rows("a,b\n1,x\n,y\n2,\n", card(*features, container="mapping"))

    assert found == [{"a": 1.0, "b": "x"}, {"b": "y"}, {"a": 2.0}]


def test_what_pandas_cannot_read_is_told():
    with pytest.raises(ModelRefused, match="pandas cannot read the table"):
        rows("a,y\nx,0\n", card(Feature("a")), types={"a": "float"})
