"""Models whose rows are objects are served with objects, to the bit."""

from __future__ import annotations

import pytest
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.rows.refused import RowsRefused
from secureml.models.sealing.object_columns import known_names, named_features
from secureml.models.serving.registry import Registry

pytest.importorskip("pandas")
ROWS = [
    {"city": "Bern", "age": 30},
    {"city": "Oslo", "age": 50.5},
    {"age": 41},
    {"city": "01001", "age": 20},
] * 10
Y = [0, 1, 1, 0] * 10
TABLE = "city,age,y\n" + "Bern,30,0\nOslo,50.5,1\n,41,1\n01001,20,0\n" * 10


def served(tmp_path):
    registry = Registry(tmp_path / "models")
    registry.load_all()
    return registry.get("model")


def both(first):
    return make_pipeline(first, LogisticRegression()).fit(ROWS, Y)


@pytest.mark.parametrize("table", [TABLE, None])
def test_a_dict_vectorizer_answers_as_here(seal, tmp_path, table):
    model = both(DictVectorizer())
    card = seal(model, table=table).card
    found = served(tmp_path)
    asked = [{"city": "Bern", "age": 1}, {"city": "Vaduz", "age": 77.5}, {"age": 3}, {}, ROWS[3]]

    assert card.container == "mapping"
    assert sorted(feature.name for feature in card.features) == ["age", "city"]
    for rows in (asked, asked * 3, asked[:1]):
        assert found.predict(found.read(rows)).probabilities == model.predict_proba(rows).tolist()
    listed = [feature.name for feature in card.features]
    row = [{"city": "Oslo", "age": None}[name] for name in listed]
    assert found.predict(found.read([row])).probabilities == (
        model.predict_proba([{"city": "Oslo"}]).tolist()
    )


def test_a_hasher_takes_the_names_of_its_table(seal, tmp_path):
    model = both(FeatureHasher(32))
    seal(model, table=TABLE)
    found = served(tmp_path)

    assert found.predict(found.read(ROWS)).probabilities == model.predict_proba(ROWS).tolist()
    with pytest.raises(RowsRefused):
        found.read([{"name": "x"}])


@pytest.mark.parametrize(
    ("first", "words", "says"),
    [
        (FeatureHasher(32), {}, "takes objects of names and values, and its FeatureHasher keeps"),
        (DictVectorizer(), {"table": "city,age,z,y\nBern,1,2,0\n"}, "'z', which is not a name"),
        (DictVectorizer(), {"table": TABLE, "target": "q"}, "no column 'q'"),
        (FeatureHasher(32), {"table": "y\n1\n0\n"}, "no column but the answers"),
    ],
)
def test_what_says_no_names_is_told_the_way_out(seal, first, words, says):
    with pytest.raises(ModelRefused, match=says):
        seal(both(first), **words)


def test_a_hasher_of_lists_is_told_what_is_served(seal):
    model = make_pipeline(FeatureHasher(8, input_type="string"), LogisticRegression())
    with pytest.raises(ModelRefused, match="lists of texts or of pairs") as refused:
        seal(model.fit([["a", "b"], ["c"]] * 5, [0, 1] * 5))

    assert 'input_type="dict"' in refused.value.fix


def test_the_names_are_those_of_the_fit():
    model = both(DictVectorizer())

    assert known_names(model) == {"age": "number", "city": "category"}
    assert [(f.name, f.categories) for f in named_features(model)] == [
        ("age", None),
        ("city", ("01001", "Bern", "Oslo")),
    ]
