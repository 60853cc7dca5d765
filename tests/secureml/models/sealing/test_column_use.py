"""What a model was fitted on says what a column is where its cells could mislead."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from secureml.models.sealing.column_use import read_as_categories, said_by_model
from secureml.models.serving.registry import Registry

pd = pytest.importorskip("pandas")
FRAME = pd.DataFrame(
    {"review": ["good", "bad"] * 20, "zip": ["02134", "90210"] * 20, "n": range(40)}
)
Y = [1, 0] * 20
CELLS = {name: [str(cell) for cell in FRAME[name]] for name in FRAME}


def encoded(frame, name):
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [name]))
    return make_pipeline(columns, LogisticRegression()).fit(frame, Y)


@pytest.mark.parametrize("column", ["review", 0])
def test_a_column_that_a_vectorizer_takes_is_text(column):
    columns = make_column_transformer((TfidfVectorizer(), column), remainder="drop")

    assert said_by_model(columns.fit(FRAME), {"review": CELLS["review"]}) == {"review": "text"}


def test_new_texts_pass_though_the_table_has_two(seal, tmp_path):
    columns = make_column_transformer((make_pipeline(TfidfVectorizer()), "review"))
    frame = FRAME[["review"]]
    model = make_pipeline(columns, LogisticRegression()).fit(frame, Y)
    card = seal(model, table=frame.to_csv(index=False)).card
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("model")

    assert card.features[0].dtype == "text"
    assert found.predict(found.read([["good news"]])).probabilities == (
        model.predict_proba(pd.DataFrame({"review": ["good news"]})).tolist()
    )


@pytest.mark.parametrize(("dtype", "said"), [(str, "words"), (int, "number")])
def test_codes_are_what_the_encoder_was_fitted_on(seal, tmp_path, dtype, said):
    frame = FRAME[["zip"]].astype(dtype)
    model = encoded(frame, "zip")
    assert said_by_model(model, {"zip": CELLS["zip"]}) == {"zip": said}

    card = seal(model, table=FRAME[["zip"]].to_csv(index=False)).card
    assert card.features[0].dtype == {"words": "category", "number": "integer"}[said]
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("model")
    sent = [[cell] for cell in frame["zip"].tolist()]
    assert found.predict(found.read(sent)).probabilities == model.predict_proba(frame).tolist()


def test_words_for_true_are_words_where_the_encoder_was_fitted_on_them():
    texts = pd.DataFrame({"sure": ["TRUE", "FALSE"] * 20})
    cells = {"sure": list(texts["sure"])}

    assert said_by_model(encoded(texts, "sure"), cells) == {"sure": "words"}
    assert said_by_model(encoded(texts == "TRUE", "sure"), cells) == {}


def test_what_is_looked_up_is_known_by_name_or_is_all():
    array = np.arange(40).reshape(-1, 1)
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    boosted = HistGradientBoostingClassifier(max_iter=2, categorical_features=[1])
    numbers = pd.DataFrame({"a": range(40), "b": [0, 1] * 20})

    assert read_as_categories(encoded(FRAME, "zip"), list(FRAME)) == {"zip"}
    assert read_as_categories(pipeline.fit(array, Y), ["x0"]) == {"x0"}
    assert read_as_categories(boosted.fit(numbers, Y), ["a", "b"]) == {"b"}
    assert read_as_categories(LogisticRegression().fit(array, Y), ["x0"]) == frozenset()
