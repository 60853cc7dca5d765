"""A file with several objects: which hold estimators, and how to seal one of them."""

from __future__ import annotations

import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.entries import chosen

MODEL, SCALER = LinearRegression(), StandardScaler()


def refusal(held, entry=""):
    with pytest.raises(ModelRefused) as refused:
        chosen(held, entry)
    return refused.value


def test_an_estimator_is_itself():
    assert chosen(MODEL, "") is MODEL


@pytest.mark.parametrize(
    ("held", "entry"),
    [
        ({"model": MODEL, "scaler": SCALER}, "model"),
        (Bunch(model=MODEL), "model"),
        ({7: MODEL}, "7"),
        ([SCALER, MODEL], "1"),
        ((MODEL, "notes"), "0"),
    ],
)
def test_one_entry_is_chosen_by_its_key_or_place(held, entry):
    assert chosen(held, entry) is MODEL


def test_without_a_choice_the_keys_that_hold_estimators_are_told_with_the_way():
    emitted = refusal({"model": MODEL, "scaler": SCALER, "made": "2026-01-01"})

    assert emitted.check == "card"
    assert "the estimators 'model' (LinearRegression), 'scaler' (StandardScaler)" in emitted.message
    assert "'made'" not in emitted.message
    assert "seal one of them with --entry model" in emitted.fix
    assert "joblib.dump(make_pipeline(found['scaler'], found['model']), file)" in emitted.fix


def test_the_places_of_a_list_are_written_as_python_has_them():
    assert "make_pipeline(found[0], found[1])" in refusal([SCALER, MODEL]).fix


def test_a_key_that_is_not_there_is_told_with_those_that_are():
    emitted = refusal({"model": MODEL}, "modell")

    assert "has no entry 'modell'; it has 'model' (LinearRegression)" in emitted.message
    assert "--entry model" in emitted.fix


@pytest.mark.parametrize("held", [{}, [], {"a": 1}, {"kind": LinearRegression}])
def test_what_holds_no_estimator_is_told_as_that(held):
    assert "without any estimator" in refusal(held).message


def test_an_entry_of_what_has_none_is_refused():
    emitted = refusal(MODEL, "model")

    assert "--entry model is given, and the file holds a LinearRegression" in emitted.message


def test_attack_a_key_of_any_length_makes_no_message_of_it():
    assert len(refusal({"k" * 10_000: MODEL}).message) < 500
