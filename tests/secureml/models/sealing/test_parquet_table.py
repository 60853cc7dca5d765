"""A Parquet file is read by the confined child alone, and keeps its types."""

from __future__ import annotations

import builtins
import io

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import packaging
from secureml.models.sealing.confined_conversion import Confined
from secureml.models.sealing.parquet_table import columns_of, confined_columns, is_parquet
from secureml.models.sealing.typed_columns import decode, to_pandas
from secureml.models.serving.registry import Registry

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow", reason="pip install pyarrow")
FRAME = pd.DataFrame(
    {
        "plan": pd.Categorical(["pro", "basic"] * 20, categories=["pro", "basic"]),
        "months": np.arange(40, dtype=np.int16),
        "fee": np.arange(40, dtype=np.float32) / 3,
        "note": ["02134", None] * 20,
        "y": [1, 0] * 20,
    }
)


def written(frame):
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def test_the_child_keeps_the_types():
    content = written(FRAME)
    found = confined_columns(Confined(), "t.parquet", content)

    assert is_parquet(content)
    pd.testing.assert_frame_equal(to_pandas(decode(found)), FRAME, check_exact=True)


def test_a_model_of_categories_is_served_as_it_was_fitted(tmp_path, key):
    import joblib

    from tests.data_forms import convert_here

    rows = FRAME[["plan", "months", "fee"]]
    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2).fit(rows, FRAME["y"])
    joblib.dump(model, tmp_path / "m.joblib")
    (tmp_path / "table").write_bytes(written(FRAME.drop(columns="note")))
    target = packaging.SealTarget(
        tmp_path / "models",
        key,
        lambda: 1_767_225_600.0,
        convert=convert_here,
        read_parquet=lambda _, content: columns_of(content),
    )
    order = packaging.Order(tmp_path / "m.joblib", "m", tmp_path / "table", "y")
    card = packaging.seal(order, target).card
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("m")
    sent = [[plan, months, float(fee)] for plan, months, fee in rows.itertuples(index=False)]

    assert card.features[0].frame_dtype == "category"
    assert found.predict(found.read(sent)).probabilities == model.predict_proba(rows).tolist()


def test_attack_what_only_begins_as_one_is_refused_by_its_name():
    with pytest.raises(ModelRefused, match=r"t\.parquet: the table cannot be read"):
        confined_columns(Confined(), "t.parquet", b"PAR1 and no more")


def test_without_the_libraries_the_way_is_told(monkeypatch):
    usual = builtins.__import__

    def without(name, *words, **more):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return usual(name, *words, **more)

    content = written(FRAME)
    monkeypatch.setattr(builtins, "__import__", without)
    assert b"script/extras parquet" in columns_of(content)


def test_a_column_of_no_type_is_refused_by_its_name():
    assert b"'x' holds values of the types" in columns_of(
        written(pd.DataFrame({"x": [b"bytes", b"b"]}))
    )
