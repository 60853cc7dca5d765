"""What a model answers beyond its table is found out by asking it, and may be refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.rows.refused import RowsRefused
from secureml.models.serving.registry import Registry

pd = pytest.importorskip("pandas")
DRAW = np.random.default_rng(1)
TABLE = pd.DataFrame(
    {
        "city": DRAW.choice(["Bern", "Oslo", "Riga"], 60),
        "income": DRAW.normal(50, 9, 60).round(1),
        "rooms": DRAW.integers(1, 6, 60),
    }
)
Y = (TABLE.income > 50).astype(int)
CSV = TABLE.assign(y=Y).to_csv(index=False)


def fitted(encoder, numbers):
    columns = make_column_transformer((encoder, ["city"]), (numbers, ["income", "rooms"]))
    return make_pipeline(columns, LogisticRegression()).fit(TABLE, Y)


def served(tmp_path):
    registry = Registry(tmp_path / "models")
    registry.load_all()
    return registry.get("model")


def says(card):
    return [(f.dtype, f.missing, f.unknown) for f in card.features]


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ],
)
def test_an_unknown_category_passes_where_the_encoder_is_made_for_it(seal, tmp_path, encoder):
    model = fitted(encoder, SimpleImputer())
    sealed = seal(model, table=CSV, target="y")
    found = served(tmp_path)
    asked = pd.DataFrame({"city": ["Vaduz"], "income": [70.5], "rooms": [2]})

    assert sealed.card.features[0].unknown == "allow"
    assert found.predict(found.read([["Vaduz", 70.5, 2]])).probabilities == (
        model.predict_proba(asked).tolist()
    )
    assert any("categories that the table has not are read in 'city'" in n for n in sealed.notes)


def test_it_does_not_pass_where_the_encoder_is_not(seal, tmp_path):
    sealed = seal(fitted(OneHotEncoder(), "passthrough"), table=CSV, target="y")

    assert says(sealed.card) == [
        ("category", "refuse", "refuse"),
        ("float", "refuse", "refuse"),
        ("float", "refuse", "refuse"),
    ]
    with pytest.raises(RowsRefused):
        served(tmp_path).read([["Vaduz", 70.5, 2]])


def test_null_and_a_name_that_is_left_out_pass_where_the_pipeline_imputes(seal, tmp_path):
    model = fitted(OneHotEncoder(), SimpleImputer())
    seal(model, table=CSV, target="y")
    found = served(tmp_path)
    asked = pd.DataFrame({"city": ["Bern"], "income": [np.nan], "rooms": [np.nan]})

    for row in (["Bern", None, None], {"city": "Bern"}, {"city": "Bern", "rooms": None}):
        for count in (1, 9):
            result = found.predict(found.read([row] * count))
            expected = model.predict_proba(pd.concat([asked] * count)).tolist()
            assert result.probabilities == expected
    with pytest.raises(RowsRefused):
        found.read([{"income": 1.5}])


def test_a_fraction_passes_in_a_column_that_happens_to_be_whole(seal, tmp_path):
    model = fitted(OneHotEncoder(), "passthrough")
    sealed = seal(model, table=CSV, target="y")
    found = served(tmp_path)
    asked = pd.DataFrame({"city": ["Bern"], "income": [50.0], "rooms": [3.5]})

    assert found.predict(found.read([["Bern", 50, 3.5]])).probabilities == (
        model.predict_proba(asked).tolist()
    )
    assert any("numbers with a fraction are read in 'rooms'" in note for note in sealed.notes)


def test_it_does_not_where_whole_numbers_are_looked_up(seal, tmp_path):
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["rooms"]), remainder="passthrough"
    )
    model = make_pipeline(columns, LogisticRegression())
    table = TABLE[["income", "rooms"]].assign(y=Y).to_csv(index=False)
    card = seal(model.fit(TABLE[["income", "rooms"]], Y), table=table, target="y").card

    assert [feature.dtype for feature in card.features] == ["float", "integer"]
    whole = TABLE[["rooms"]].to_numpy()
    table = TABLE[["rooms"]].to_csv(index=False)
    card = seal(CategoricalNB().fit(whole, Y), "bayes", table=table).card
    assert card.features[0].dtype == "integer"


def test_a_function_may_tell_whole_numbers_from_others(seal):
    model = make_pipeline(FunctionTransformer(np.log1p), LinearRegression())
    frame = TABLE[["income", "rooms"]]
    words = make_column_transformer((OneHotEncoder(), ["city"]), (model[0], ["rooms"]))
    both = make_pipeline(words, LogisticRegression()).fit(TABLE[["city", "rooms"]], Y)
    card = seal(both, table=TABLE[["city", "rooms"]].to_csv(index=False)).card

    assert [feature.dtype for feature in card.features] == ["category", "integer"]
    # As an array it has been float64 all along.
    card = seal(model.fit(frame, Y), "m2", table=frame.to_csv(index=False)).card
    assert [feature.dtype for feature in card.features] == ["float", "float"]


def test_whoever_seals_may_refuse_them(seal):
    model = fitted(OneHotEncoder(handle_unknown="ignore"), SimpleImputer())
    card = seal(
        model,
        table=CSV,
        target="y",
        types={"rooms": "integer"},
        missing={"income": "allow", "*": "refuse"},
        unknown={"city": "refuse"},
    ).card

    assert says(card) == [
        ("category", "refuse", "refuse"),
        ("float", "allow", "refuse"),
        ("integer", "refuse", "refuse"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"missing": {"income": "allow"}}, "--missing income=allow, and the model does not answer"),
        ({"unknown": {"city": "allow"}}, "--unknown city=allow, and the model does not answer"),
        ({"missing": {"q": "allow"}}, "--missing names 'q'"),
        ({"unknown": {"city": "maybe"}}, "--unknown city=maybe"),
    ],
)
def test_what_the_model_does_not_answer_cannot_be_allowed(seal, words, message):
    with pytest.raises(ModelRefused, match=message):
        seal(fitted(OneHotEncoder(), "passthrough"), table=CSV, target="y", **words)


def test_what_the_table_misses_cannot_be_refused(seal):
    model = HistGradientBoostingClassifier(max_iter=2).fit([[1.0], [np.nan]] * 30, [0, 1] * 30)
    with pytest.raises(ModelRefused, match="the table misses values there"):
        seal(model, table="a\n1\nNA\n", missing={"a": "refuse"})


def test_many_columns_are_asked_about_a_bounded_number_of_times(seal, monkeypatch):
    from secureml.models.sealing import accepted_rows

    asked = []
    usual = accepted_rows._is_answered
    monkeypatch.setattr(
        accepted_rows, "_is_answered", lambda *words: bool(asked.append(1)) or usual(*words)
    )
    rows = DRAW.normal(size=(30, 400))
    seal(LinearRegression().fit(rows, rows[:, 0]))

    assert len(asked) <= 2 * 3 * accepted_rows._MOST_TRIALS  # by the child and by us


@pytest.mark.parametrize("missing", [0, 1])
def test_a_forest_that_reads_null_answers_other_rows_to_the_bit(seal, tmp_path, missing):
    rows = DRAW.normal(size=(50, 4))
    model = RandomForestRegressor(8, random_state=0).fit(rows, rows[:, 0])
    seal(model)
    found = served(tmp_path)
    asked = rows.copy()
    asked[:missing, 1] = np.nan
    sent = [[None if np.isnan(cell) else cell for cell in row] for row in asked.tolist()]

    assert found.card.features[1].missing == "allow"
    assert found.predict(found.read(sent)).predictions == model.predict(asked).tolist()
