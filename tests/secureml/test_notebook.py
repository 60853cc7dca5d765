"""From memory a model is sealed as from files: the same checks, the same answers, nothing left."""

from __future__ import annotations

import shutil
import tempfile

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import secureml
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import confined_conversion
from secureml.models.serving.registry import Registry
from tests.data_forms import convert_here

pd = pytest.importorskip("pandas")
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(40, 2))
ANSWERS = RANDOM.integers(0, 2, 40)


@pytest.fixture
def instance(fresh_instance, monkeypatch):
    """Return an instance; files are converted in this process, which is faster."""

    def convert(self, *words):
        return convert_here(*words)

    monkeypatch.setattr(confined_conversion.Confined, "__call__", convert)
    return fresh_instance


def served(instance, name):
    registry = Registry(instance / "models")
    registry.load_all()
    return registry.get(name)


@pytest.mark.parametrize(
    "made",
    [
        ROWS,
        np.arange(80).reshape(40, 2),
        pd.DataFrame(ROWS, columns=["a", "b"]),
        pd.DataFrame({"a": range(40), "b": ROWS[:, 1]}),
    ],
    ids=["float64", "integers", "a frame", "a frame of two dtypes"],
)
def test_a_table_of_numbers_is_served_to_the_bit(instance, made):
    model = LogisticRegression().fit(made, ANSWERS)
    sealed = secureml.seal(model, made, ANSWERS, name="own", instance=instance)
    found = served(instance, "own")

    assert (sealed.name, sealed.version, sealed.card.source) == ("own", "1", "table")
    assert found.predict(found.read(np.asarray(made).tolist())).probabilities == (
        model.predict_proba(made).tolist()
    )


def test_columns_of_text_stay_text_whatever_they_look_like(instance):
    """A file alone could not tell: 02134 would be a number and TRUE a truth value."""
    frame = pd.DataFrame({"zip": ["02134", "00501"] * 20, "sure": ["TRUE", "FALSE"] * 20})
    columns = make_column_transformer((OneHotEncoder(), ["zip", "sure"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, ANSWERS)
    card = secureml.seal(model, frame, ANSWERS, name="own", instance=instance).card
    found = served(instance, "own")

    assert [(feature.dtype, feature.categories) for feature in card.features] == [
        ("category", ("00501", "02134")),
        ("category", ("FALSE", "TRUE")),
    ]
    assert found.predict(found.read([["02134", "TRUE"]])).probabilities == (
        model.predict_proba(frame[:1]).tolist()
    )


def test_answers_of_text_are_no_feature(instance):
    words = np.array(["no", "yes"])[ANSWERS]
    model = LogisticRegression().fit(ROWS, words)
    card = secureml.seal(model, ROWS, words, name="own", instance=instance).card

    assert card.classes == ("no", "yes")
    assert len(card.features) == 2


def test_the_file_is_read_by_the_confined_child_as_for_the_command(fresh_instance):
    """Nothing is replaced here: the whole way, once."""
    model = LogisticRegression().fit(ROWS, ANSWERS)
    secureml.seal(model, ROWS, ANSWERS, name="own", instance=fresh_instance)
    found = served(fresh_instance, "own")

    assert found.predict(found.read(ROWS.tolist())).predictions == model.predict(ROWS).tolist()


def test_texts_are_a_column(instance):
    texts = ["good day", "bad day"] * 20
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 20)
    card = secureml.seal(model, texts, [1, 0] * 20, name="own", instance=instance).card

    assert [(feature.name, feature.dtype) for feature in card.features] == [("text", "text")]


def test_a_column_may_have_the_name_of_the_answers(instance):
    frame = pd.DataFrame({"target": ROWS[:, 0], "answer": ROWS[:, 1]})
    answers = pd.Series(ANSWERS, name="target")
    model = LogisticRegression().fit(frame, answers)
    card = secureml.seal(model, frame, answers, name="own", instance=instance).card

    assert [feature.name for feature in card.features] == ["target", "answer"]


def test_missing_values_are_missing(instance):
    from sklearn.ensemble import HistGradientBoostingRegressor

    frame = pd.DataFrame({"a": [None, *ROWS[1:, 0]], "b": pd.array([1, None, *range(38)], "Int64")})
    model = HistGradientBoostingRegressor(max_iter=3).fit(frame.astype(float), ANSWERS)
    card = secureml.seal(model, frame, ANSWERS, name="own", instance=instance).card

    assert [feature.missing for feature in card.features] == ["allow", "allow"]


@pytest.mark.parametrize(
    ("table", "answers", "says"),
    [
        (ROWS, ANSWERS[:-1], "X has 40 rows and y has 39"),
        (np.zeros((2, 2, 2)), None, r"X has the shape \(2, 2, 2\)"),
        (pd.DataFrame(ROWS, columns=["a", "a"]), None, "two columns of one name"),
    ],
)
def test_what_is_no_table_is_told_so(instance, table, answers, says):
    model = LogisticRegression().fit(ROWS, ANSWERS)
    with pytest.raises(ValueError, match=says):
        secureml.seal(model, table, answers, name="own", instance=instance)


def test_a_refusal_leaves_nothing_behind(instance, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ModelRefused, match="not fitted"):
        secureml.seal(LogisticRegression(), ROWS, ANSWERS, name="own", instance=instance)

    assert not (instance / "models/own").exists()
    assert sorted(tmp_path.iterdir()) == before


def test_without_an_instance_the_way_is_told(tmp_path):
    with pytest.raises(secureml.ConfigError, match="secureml init"):
        secureml.seal(
            LogisticRegression().fit(ROWS, ANSWERS), ROWS, name="own", instance=tmp_path / "none"
        )


def test_it_is_recorded_as_the_command_is(instance, type_command):
    shutil.rmtree(instance / "models", ignore_errors=True)
    model = LogisticRegression().fit(ROWS, ANSWERS)
    secureml.seal(model, ROWS, ANSWERS, name="own", instance=instance, use=True)

    said = type_command("models", "list", "--instance", instance)
    assert "* own 1" in said.out
