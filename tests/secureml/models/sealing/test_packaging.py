from __future__ import annotations

import csv
import json
import os
import stat
from hashlib import sha256

import joblib
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused, read_artifact
from secureml.models.card import LIBRARIES
from secureml.models.sealing import packaging
from secureml.models.serving.registry import Registry
from tests.data_forms import convert_here, form_of

ROWS = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 3.0], [3.0, 2.0]])
ANSWERS = np.array([0, 0, 1, 1])
TABLE = "a,b,y\n0,5.0,no\n1,4.0,no\n2,3.0,yes\n3,2.0,yes\n"


def fitted():
    return LogisticRegression().fit(ROWS, ANSWERS)


def own_function(rows):
    return rows * 2


def test_a_sealed_version_has_its_files_modes_and_pointer(seal, tmp_path):
    sealed = seal(fitted(), table=TABLE, target="y")

    assert sealed.folder == tmp_path / "models" / "model" / "1"
    assert sorted(path.name for path in sealed.folder.iterdir()) == [
        "card.json",
        "model.data",
        "signature.json",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in sealed.folder.iterdir()} == {0o440}
    assert stat.S_IMODE(sealed.folder.stat().st_mode) == 0o750
    assert (sealed.folder.parent / "current").read_text() == "1\n"
    assert sorted(path.name for path in sealed.folder.parent.iterdir()) == ["1", "current"]


def test_the_card_says_what_was_learned(seal):
    card = seal(fitted(), table=TABLE, target="y").card

    assert card.created == "2026-01-01T00:00:00Z"
    assert (card.kind, card.classes, card.has_probabilities) == ("classifier", (0, 1), True)
    assert [(f.name, f.dtype, f.minimum, f.maximum) for f in card.features] == [
        ("a", "float", 0, 3),  # whole in the table, and the model takes any number
        ("b", "float", 2, 5),
    ]
    assert (card.source, card.container) == ("table", "array")
    assert card.versions.keys() == LIBRARIES
    assert "sklearn.linear_model._logistic.LogisticRegression" in card.globals
    assert card.golden.rows == ((0, 5), (1, 4), (2, 3), (3, 2))
    assert card.golden.predictions == tuple(fitted().predict(ROWS).tolist())


def test_without_a_table_there_are_no_ranges_and_the_card_says_so(seal):
    card = seal(fitted()).card

    assert card.source == "none"
    assert [(f.name, f.minimum) for f in card.features] == [("x0", None), ("x1", None)]
    assert len(card.golden.rows) == 20


def test_golden_rows_are_spread_over_the_table_ends_included(seal):
    lines = "".join(f"{i},{i % 7}.5,{i % 2}\n" for i in range(500))
    golden = seal(fitted(), table="a,b,y\n" + lines, target="y").card.golden

    assert len(golden.rows) == 20
    assert golden.rows[0][0] == 0
    assert golden.rows[-1][0] == 499


def test_the_seal_is_believed_with_the_key_s_public_half(seal, key):
    folder = seal(fitted()).folder
    signature.verify_signature(read_artifact(folder, "model", "1"), [key.public_key()])

    assert json.loads((folder / "signature.json").read_bytes())["algorithm"] == "Ed25519"


def test_the_next_seal_is_the_next_version_and_does_not_serve_by_itself(seal, tmp_path):
    seal(fitted())
    assert seal(fitted()).version == "2"
    assert Registry(tmp_path / "models").current("model") == "1"


def test_what_is_sealed_is_the_data_form_and_the_card_knows_the_file_it_was_made_of(seal, tmp_path):
    sealed = seal(fitted())
    form, file = sealed.folder / "model.data", tmp_path / "model.joblib"

    assert form.read_bytes() == form_of(joblib.load(file))
    assert sealed.card.digest == sha256(form.read_bytes()).hexdigest()
    assert sealed.card.source_digest == sha256(file.read_bytes()).hexdigest()


def left_behind(tmp_path):
    models = tmp_path / "models"
    return sorted(path.name for path in models.rglob("*")) if models.exists() else []


class Bomb:
    def __reduce__(self):
        return os.system, ("false",)


@pytest.mark.parametrize(
    ("estimator", "words", "check"),
    [
        (Bomb(), {}, "globals"),
        ({"not": "a model"}, {}, "card"),
        (LogisticRegression(), {}, "card"),
        (
            make_pipeline(FunctionTransformer(own_function), LogisticRegression()).fit(
                ROWS, ANSWERS
            ),
            {},
            "globals",
        ),
        (
            make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["red", "blue"], [0, 1]),
            {},
            "card",
        ),
        (fitted(), {"table": TABLE.replace("y", "z").replace(",1", ",7")}, "card"),
        (fitted(), {"table": TABLE, "target": "q"}, "card"),
        (fitted(), {"table": TABLE.replace("5.0", "red"), "target": "y"}, "card"),
        (fitted(), {"table": TABLE.replace("5.0", ""), "target": "y"}, "golden"),
        (fitted(), {"allow": frozenset({"os.system"})}, "globals"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_served_is_refused_and_nothing_is_left(
    seal, tmp_path, estimator, words, check
):
    with pytest.raises(ModelRefused) as refused:
        seal(estimator, **words)

    assert refused.value.check == check
    assert refused.value.fix
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("name", ["..", "../up", "a/b", "", ".hidden"])
def test_a_name_that_is_a_path_is_refused(own, key, name):
    with pytest.raises(ModelRefused, match="not a model name"):
        packaging.seal(
            packaging.Order(own / "cancer.joblib", name),
            packaging.SealTarget(own / "models", key, lambda: 0.0, convert=convert_here),
        )


def test_a_refusal_leaves_the_versions_that_were_there(seal, tmp_path):
    seal(fitted())
    before = left_behind(tmp_path)
    with pytest.raises(ModelRefused):
        seal(Bomb())

    assert left_behind(tmp_path) == before


def test_a_version_that_appears_meanwhile_is_not_overwritten(seal, tmp_path, monkeypatch):
    seal(fitted())
    monkeypatch.setattr(Registry, "next_version", lambda *_: "1")
    with pytest.raises(ModelRefused, match="meanwhile"):
        seal(fitted())


def test_a_function_of_ones_own_may_be_allowed_by_its_exact_name(seal, tmp_path):
    model = make_pipeline(FunctionTransformer(own_function), LogisticRegression())
    own = f"{__name__}.own_function"
    if __name__.split(".")[0] == "tests":
        import sys

        sys.modules.setdefault(__name__, sys.modules[own_function.__module__])
    sealed = seal(model.fit(ROWS, ANSWERS), allow=frozenset({own}))
    assert own in sealed.card.globals
    with pytest.raises(ModelRefused, match="own_function"):
        Registry(tmp_path / "models").load_all()
    Registry(tmp_path / "models", extra_allowed=frozenset({own})).load_all()


def test_missing_cells_mean_missing_values_where_the_model_takes_them(seal, tmp_path):
    rows = ROWS.repeat(10, axis=0)
    rows[3, 1] = np.nan
    model = HistGradientBoostingClassifier(max_iter=3).fit(rows, ANSWERS.repeat(10))
    card = seal(model, table=TABLE.replace("5.0", ""), target="y").card

    assert [feature.missing for feature in card.features] == ["allow", "allow"]
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("model")
    assert len(found.predict(found.read([[1, None]])).predictions) == 1


def test_words_in_arrays_are_served_as_they_were_fitted(seal, tmp_path):
    words = np.array([["red"], ["blue"], ["red"], ["blue"]], dtype=object)
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(words, ANSWERS)
    card = seal(model, table="colour\nred\nblue\n").card

    assert card.features[0].categories == ("blue", "red")
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("model")
    assert found.predict(found.read([{"colour": "red"}])).probabilities == (
        model.predict_proba([["red"]]).tolist()
    )


def test_all_rows_of_the_demo_are_answered_as_by_the_file(shelf, cancer):
    registry = Registry(shelf / "models")
    registry.load_all()
    found, file = registry.get("cancer"), joblib.load(shelf / "cancer.joblib")
    with (shelf / "cancer.csv").open(newline="") as table:
        instances = [
            {name: float(cell) for name, cell in row.items() if name != "answer"}
            for row in csv.DictReader(table)
        ]
    result = found.predict(found.read(instances))

    assert result.predictions == file.predict(cancer.data).tolist()
    assert result.probabilities == file.predict_proba(cancer.data).tolist()


def test_a_model_of_a_data_frame_is_served_by_column_names(seal, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"age": [1.0, 2, 3, 4], "colour": ["r", "b", "r", "b"], "note": ["a b", "b c", "a", "c"]}
    )
    model = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["age"]),
            (OneHotEncoder(), ["colour"]),
            (TfidfVectorizer(token_pattern=r"\w"), "note"),
        ),
        LogisticRegression(),
    ).fit(frame, ANSWERS)
    card = seal(model, table=frame.assign(y=ANSWERS).to_csv(index=False), target="y").card
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("model")
    asked = [{"note": "a b", "colour": "r", "age": 1.0}]

    assert card.container == "frame"
    assert "pandas" in card.versions
    assert found.predict(found.read(asked)).probabilities == (
        model.predict_proba(frame[:1]).tolist()
    )


def test_a_plain_model_of_a_data_frame_needs_no_frames_to_serve(seal):
    pandas = pytest.importorskip("pandas")
    model = LogisticRegression().fit(pandas.DataFrame(ROWS, columns=["b", "a"]), ANSWERS)
    card = seal(model, table="a,y,b\n5.0,0,0\n2.0,1,3\n", target="y").card

    assert card.container == "array"
    assert [feature.name for feature in card.features] == ["b", "a"]


SEVERAL = {
    "a scaler": StandardScaler().fit(ROWS),
    "a sparse encoder": OneHotEncoder(handle_unknown="ignore").fit(ROWS),
    "two amounts": LinearRegression().fit(ROWS, ROWS),
    "two labels": RandomForestClassifier(2, random_state=0).fit(ROWS, np.c_[ANSWERS, 1 - ANSWERS]),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_a_model_of_several_values_a_row_is_served_to_the_bit(seal, tmp_path, case):
    model = SEVERAL[case]
    card = seal(model).card
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("model")
    expected = getattr(model, card.method or "predict")(ROWS)
    expected = expected.toarray() if hasattr(expected, "toarray") else expected

    assert found.predict(found.read(ROWS.tolist())).predictions == expected.tolist()


def test_a_model_of_texts_takes_new_texts(seal, tmp_path):
    texts = ["good day", "bad day", "awful", "nice and good"] * 6
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 0, 1] * 6)
    table = "text,y\n" + "".join(f"{text},{i % 2}\n" for i, text in enumerate(texts))
    card = seal(model, table=table, target="y").card
    registry = Registry(tmp_path / "models")
    registry.load_all()
    found = registry.get("model")
    asked = ["a good and awful day", "never seen before", ""]

    assert (card.container, card.features[0].dtype) == ("column", "text")
    for instances in ([[text] for text in asked], [{"text": text} for text in asked]):
        assert found.predict(found.read(instances)).probabilities == (
            model.predict_proba(asked).tolist()
        )


def test_a_model_of_texts_without_a_table_says_what_to_give(seal):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["red", "blue"], [0, 1])
    with pytest.raises(ModelRefused, match="--data: one column of texts"):
        seal(model)


class Wrapper:
    """A plain class around a pipeline, as people write one."""

    def __init__(self, model):
        self.model = model

    def predict(self, rows):
        return np.array(["low", "high"])[self.model.predict(rows)]


def test_a_plain_class_with_predict_is_served_where_its_name_is_allowed(seal, tmp_path):
    """It says nothing of its columns: the table does, and it is given a frame."""
    import pandas as pd

    frame = pd.DataFrame(ROWS, columns=["a", "b"])
    model = Wrapper(make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, ANSWERS))
    name = f"{Wrapper.__module__}.Wrapper"
    sealed = seal(model, table=TABLE, target="y", allow=frozenset({name}))
    handle = Registry(tmp_path / "models", extra_allowed=frozenset({name})).prove("model", "1")

    assert [feature.name for feature in sealed.card.features] == ["a", "b"]
    assert handle.predict(handle.read(ROWS.tolist())).predictions == model.predict(frame).tolist()


def test_a_plain_class_without_a_table_is_told_what_to_give(seal):
    name = f"{Wrapper.__module__}.Wrapper"
    with pytest.raises(ModelRefused) as refused:
        seal(Wrapper(fitted()), allow=frozenset({name}))

    assert "Wrapper does not say how many columns it takes" in refused.value.message
    assert "--data, and its column of answers with --target" in refused.value.fix
