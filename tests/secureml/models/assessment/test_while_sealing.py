"""The short assessment on the card of a model that is being sealed."""

from __future__ import annotations

import warnings

import joblib
import pytest
from sklearn.decomposition import PCA

from secureml.models.artifact import signature
from secureml.models.assessment.while_sealing import assess_for_card
from secureml.models.sealing.packaging import Order, SealTarget, seal
from secureml.models.serving.registry import Registry
from tests.data_forms import convert_here
from tests.made_models import MOMENT
from tests.models_of_every_kind import as_frame
from tests.secureml.models.data_form.test_pipelines import MODELS

from .conftest import numbers


def sealed(folder, model, table, **words):
    joblib.dump(model, folder / "model.joblib")
    target = SealTarget(
        folder / "models", signature.generate_key(), lambda: MOMENT, convert=convert_here,
        assess=assess_for_card, **words,
    )  # fmt: skip
    return seal(Order(folder / "model.joblib", "model", table, "target" if table else None), target)


@pytest.fixture
def table(linear, tmp_path):
    numbers().assign(target=linear.answers).to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_the_card_says_what_the_model_gives_away_and_is_signed_with_it(linear, table, tmp_path):
    found = sealed(tmp_path, linear.model, table)
    assert found.card.assessment["extraction"]["full"]["questions_to_90_percent"] == 20
    assert found.card.assessment["evasion"]["median_distance"] > 0
    assert "membership" in found.card.assessment["not_measured"]
    read = Registry(tmp_path / "models").prove("model", "1").card
    assert read.assessment == found.card.assessment


def test_clients_do_not_see_it(linear, table, tmp_path):
    assert "assessment" not in sealed(tmp_path, linear.model, table).card.public()


def test_the_same_model_and_table_have_the_same_figures(linear, table, tmp_path):
    first, second = (sealed(tmp_path, linear.model, table).card for _ in range(2))
    assert (first.version, second.version) == ("1", "2")
    assert first.assessment == second.assessment


def test_without_a_table_there_is_none(linear, tmp_path):
    found = sealed(tmp_path, linear.model, None)
    assert found.card.assessment == {}
    assert b'"assessment"' not in (found.folder / "card.json").read_bytes()


def test_what_no_attack_fits_is_sealed_without_it(tmp_path):
    frame = numbers()
    frame.to_csv(tmp_path / "rows.csv", index=False)
    joblib.dump(PCA(2).fit(frame.to_numpy()), tmp_path / "model.joblib")
    target = SealTarget(
        tmp_path / "models", signature.generate_key(), lambda: MOMENT, convert=convert_here,
        assess=assess_for_card,
    )  # fmt: skip
    found = seal(Order(tmp_path / "model.joblib", "model", tmp_path / "rows.csv"), target)
    assert found.card.assessment == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "columns of a frame", "labels of text", "topics of words", "calibrated by steps",
        "filled by neighbours", "outliers by covariance", "histograms of gamma",
    ],
)  # fmt: skip
def test_models_of_every_kind_are_measured(name, tmp_path):
    """Frames, words, texts alone, missing values, amounts, and labels without classes."""
    model, rows, answers = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = model.fit(rows) if answers is None else model.fit(rows, answers)
    as_frame(rows).to_csv(tmp_path / "rows.csv", index=False)
    joblib.dump(fitted, tmp_path / "model.joblib")
    target = SealTarget(
        tmp_path / "models", signature.generate_key(), lambda: MOMENT, convert=convert_here,
        assess=assess_for_card,
    )  # fmt: skip
    found = seal(Order(tmp_path / "model.joblib", "model", tmp_path / "rows.csv"), target)
    assert found.card.assessment["questions"] > 0
    assert "extraction" in found.card.assessment
