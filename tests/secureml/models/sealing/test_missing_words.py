"""A word that pandas takes for missing, in a column where it is a word."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.packaging import Order, SealTarget, seal
from tests.data_forms import convert_here

pd = pytest.importorskip("pandas")

COUNTRIES = ["DE", "NA", "FR", "NA", "DE", "FR"] * 10
ANSWERS = [0, 1, 0, 1, 0, 0] * 10


def frame(countries=COUNTRIES):
    return pd.DataFrame({"country": countries, "size": range(60)}).astype({"size": float})


def fitted(table, encoder):
    pipeline = make_pipeline(
        make_column_transformer((encoder, ["country"]), remainder="passthrough"),
        LogisticRegression(),
    )
    return pipeline.fit(table, ANSWERS)


@pytest.fixture
def seal_it(tmp_path):
    def seal_model(model, table):
        joblib.dump(model, tmp_path / "m.joblib")
        table.assign(y=ANSWERS).to_csv(tmp_path / "t.csv", index=False)
        place = SealTarget(
            tmp_path / "models", signature.generate_key(), lambda: 0.0, convert=convert_here
        )
        return seal(Order(tmp_path / "m.joblib", "m", tmp_path / "t.csv", "y"), place)

    return seal_model


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(),
        # Sealed without a word before, and every Namibian answered as if nothing were known:
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ],
    ids=["raises", "ignores", "encodes"],
)
def test_a_model_that_knows_the_word_is_refused_with_column_word_count_and_a_way_out(
    seal_it, encoder
):
    with pytest.raises(ModelRefused) as refused:
        seal_it(fitted(frame(), encoder), frame())
    emitted = refused.value

    assert emitted.check == "card"
    assert "'NA' in column 'country'" in emitted.message
    assert "column 'country' holds 'NA' (20), which pandas.read_csv takes for" in emitted.message
    assert "another one for it in the table, such as 'NA_'" in emitted.fix


def test_the_two_ways_out_lead_out(seal_it, tmp_path):
    renamed = frame([{"NA": "NA_"}.get(word, word) for word in COUNTRIES])
    sealed = seal_it(fitted(renamed, OneHotEncoder()), renamed)
    assert sealed.card.features[0].categories == ("DE", "FR", "NA_")
    assert sealed.card.features[0].missing == "refuse"

    frame().to_csv(tmp_path / "read.csv", index=False)
    again = pd.read_csv(tmp_path / "read.csv")
    sealed = seal_it(fitted(again, OneHotEncoder()), again)
    assert sealed.card.features[0].missing == "allow"


def test_a_word_that_an_imputer_writes_is_no_word_of_the_table(seal_it):
    imputer = SimpleImputer(strategy="constant", fill_value="NA").set_output(transform="pandas")
    table = frame([None if word == "NA" else word for word in COUNTRIES])
    model = fitted(table, make_pipeline(imputer, OneHotEncoder()))
    written = table.fillna({"country": "NULL"})

    assert seal_it(model, written).notes[-1].startswith("'country' holds 'NULL' (20)")
    assert seal_it(model, table.fillna({"country": "NA"})).card.features[0].missing == "allow"


@pytest.mark.parametrize(
    "encoder",
    [
        make_pipeline(
            SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
        ),
        make_pipeline(SimpleImputer(strategy="constant", fill_value="-"), OneHotEncoder()),
    ],
    ids=["most frequent", "constant"],
)
def test_an_encoder_behind_an_imputer_knows_the_word_as_well(seal_it, encoder):
    """The imputer filled the word's place with another word, and nothing raised."""
    with pytest.raises(ModelRefused, match="fitted on 'NA' in column 'country' as a word"):
        seal_it(fitted(frame(), encoder), frame())


def test_an_encoder_of_an_array_knows_the_word_as_well(seal_it):
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(frame().to_numpy(dtype=object), ANSWERS)
    with pytest.raises(ModelRefused, match="fitted on 'NA' in column 'country' as a word"):
        seal_it(model, frame())


def test_what_an_encoder_knows_of_another_column_is_no_fault(seal_it):
    """Each column by its own name: the word of one is nothing to the other."""
    table = frame().assign(other=["x", "y", "NULL"] * 20)
    table["country"] = ["DE", "FR", "IT"] * 20
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(categories=[["DE", "FR", "IT", "NULL"]]), ["country"]),
            (OneHotEncoder(), ["other"]),
            remainder="passthrough",
        ),
        LogisticRegression(),
    ).fit(table.replace({"other": {"NULL": np.nan}}), ANSWERS)
    sealed = seal_it(model, table)

    assert [feature.missing for feature in sealed.card.features] == ["refuse", "refuse", "allow"]


def test_attack_an_imputer_with_a_fill_value_of_any_kind_ends_in_no_fault_of_ours(seal_it):
    model = fitted(frame(["DE", "FR", "IT"] * 20), OneHotEncoder(handle_unknown="ignore"))
    model.odd = SimpleImputer(fill_value=[1, 2])

    assert seal_it(model, frame()).notes[-1].startswith("'country' holds 'NA' (20)")


def test_where_a_model_raises_the_words_are_told_as_what_may_be_the_reason(seal_it):
    model = fitted(frame(["DE", "FR", "IT"] * 20), OneHotEncoder())
    with pytest.raises(ModelRefused) as refused:
        seal_it(model, frame(["DE", "FR", "NA"] * 20))

    assert "Found unknown categories" in refused.value.message
    assert "column 'country' holds 'NA' (20)" in refused.value.message
    assert refused.value.fix.startswith("if 'NA' is a word in 'country'")


def test_a_model_that_raises_for_another_reason_is_told_as_before(seal_it):
    model = fitted(frame(["DE", "FR", "IT"] * 20), OneHotEncoder())
    with pytest.raises(ModelRefused) as refused:
        seal_it(model, frame(["DE", "FR", "US"] * 20))

    assert "Found unknown categories" in refused.value.message
    assert "takes for a missing value" not in refused.value.message
    assert np.all(model.predict(frame(["DE", "FR", "IT"] * 20)) >= 0)
