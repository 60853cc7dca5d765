"""What a model is given when it is served is what pandas makes of its table, cell by cell."""

from __future__ import annotations

import builtins
import sys
from types import ModuleType

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.pandas_reading import PandasReading
from secureml.models.serving.registry import Registry

pd = pytest.importorskip("pandas")

MODULE = "own_features_of_the_tests"


def as_text(rows):
    """Make text of every cell: 3 and 3.0 are two texts."""
    frame = pd.DataFrame(rows)
    return frame.astype(str).to_numpy(dtype=object)


def cross(frame):
    return (frame.city.astype(str) + "_" + frame.visits.astype(str)).to_frame("both")


def by_name(frame):
    return frame.assign(ratio=frame["rooms"] / frame["homes"])


def centred(rows):
    return rows - rows.mean()


def fails_on_three(rows):
    if (np.asarray(rows, dtype=float) == 3).any():
        raise ZeroDivisionError("three")
    return rows


def leaves(rows):
    raise SystemExit(3)


class Kinds(TransformerMixin, BaseEstimator):
    """Remembers the dtypes it was fitted on, and takes no others."""

    def fit(self, rows, answers=None):
        self.n_features_in_ = rows.shape[1]
        if hasattr(rows, "columns"):
            self.feature_names_in_ = np.array(list(rows.columns), dtype=object)
        self.kinds_ = self.kinds(rows)
        return self

    def transform(self, rows):
        if self.kinds(rows) != self.kinds_:
            raise TypeError(f"fitted on {self.kinds_}, asked on {self.kinds(rows)}")
        return np.zeros((len(rows), 1))

    @staticmethod
    def kinds(rows):
        return tuple(map(str, rows.dtypes if hasattr(rows, "dtypes") else [rows.dtype]))


class Last(ClassifierMixin, BaseEstimator):
    """Answers by whether the text of its first column has a dot in it."""

    def fit(self, rows, answers):
        self.classes_, self.n_features_in_ = np.array([0, 1]), 1
        return self

    def predict(self, rows):
        return np.array([int("." in str(row[0])) for row in np.asarray(rows, dtype=object)])


@pytest.fixture(autouse=True)
def own_module(monkeypatch):
    """Have what stands above lie in a module that a pickle can name."""
    module = ModuleType(MODULE)
    for thing in (as_text, cross, by_name, centred, leaves, fails_on_three, Kinds, Last):
        monkeypatch.setattr(thing, "__module__", MODULE)
        setattr(module, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, MODULE, module)


ALLOW = frozenset(
    f"{MODULE}.{name}"
    for name in (
        "as_text",
        "cross",
        "by_name",
        "centred",
        "leaves",
        "fails_on_three",
        "Kinds",
        "Last",
    )
)


def served(tmp_path):
    registry = Registry(tmp_path / "models", extra_allowed=ALLOW)
    registry.load_all()
    return registry.get("model")


def visits():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"city": draw.choice(["a", "b"], 300), "visits": draw.integers(0, 9, 300)})
    return frame, ((frame.city == "a") ^ (frame.visits > 4)).astype(int)


def test_text_made_of_whole_numbers_is_served_as_it_was_fitted(seal, tmp_path):
    rows, answers = visits()
    model = make_pipeline(
        FunctionTransformer(cross), OneHotEncoder(handle_unknown="ignore"), LogisticRegression()
    ).fit(rows, answers)
    seal(model, table=rows.assign(y=answers).to_csv(index=False), target="y", allow=ALLOW)
    found = served(tmp_path)
    instances = [list(row) for row in rows.itertuples(index=False)]
    single = [found.predict(found.read([row])).predictions[0] for row in instances[:40]]

    assert found.predict(found.read(instances)).predictions == answers.tolist()
    assert single == answers.tolist()[:40]
    # JSON has one kind of number.
    assert found.predict(found.read([["a", 7.0]])).predictions == [0]


@pytest.mark.parametrize("named", [True, False], ids=["frame", "array"])
@pytest.mark.parametrize(
    "columns",
    [
        {"a": [1, 2, 3, 4]},
        {"a": [1, 2, 3, 4], "b": [1.5, 2, 3, 4]},
        {"a": [1, None, 3, 4]},
        {"a": [True, False, True, False]},
        {"a": [True, None, True, False]},
        {"a": [True, False, True, True], "b": [1, 2, 3, 4]},
        {"a": ["x", "y", "x", "y"], "b": [1, 2, 3, 4]},
        {"a": ["x", None, "x", "y"], "b": [True, False, True, True], "c": [1, None, 2, 3]},
        {"a": ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]},
        {"a": [2**53 + 1, 2, 3, 4]},
        {"a": [-(2**63), 2**63 - 1, 3, 4]},
    ],
    ids=lambda columns: "-".join(str(cells[1]) for cells in columns.values()),
)
def test_the_dtypes_are_those_of_the_table_for_one_row_and_for_many(seal, tmp_path, columns, named):
    text = pd.DataFrame(columns, dtype=object).assign(y=[0, 1, 0, 1]).to_csv(index=False)
    (tmp_path / "read.csv").write_text(text)
    rows = pd.read_csv(tmp_path / "read.csv").drop(columns="y")
    model = make_pipeline(Kinds(), LogisticRegression()).fit(
        rows if named else rows.to_numpy(), [0, 1, 0, 1]
    )
    seal(model, table=text, target="y", allow=ALLOW)
    found = served(tmp_path)
    instances = [list(row) for row in zip(*columns.values(), strict=True)]
    whole = found.read(instances)

    assert Kinds.kinds(whole) == Kinds.kinds(rows if named else rows.to_numpy())
    read = as_text(rows if named else rows.to_numpy()).tolist()
    assert as_text(whole).tolist() == read
    for place, instance in enumerate(instances):
        alone = found.read([instance])
        assert Kinds.kinds(alone) == Kinds.kinds(whole)
        assert as_text(alone).tolist()[0] == read[place]


def test_a_function_of_ones_own_gets_the_frame_it_was_fitted_on(seal, tmp_path):
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"rooms": draw.integers(9, 99, 90), "homes": draw.integers(1, 9, 90)})
    prices = rows.rooms / rows.homes
    model = make_pipeline(FunctionTransformer(by_name), LinearRegression()).fit(rows, prices)
    card = seal(
        model, table=rows.assign(y=prices).to_csv(index=False), target="y", allow=ALLOW
    ).card
    found = served(tmp_path)

    assert card.container == "frame"
    assert found.predict(found.read([{"homes": 2, "rooms": 30}])).predictions == pytest.approx([15])


def test_ordinary_models_of_numbers_stay_plain_arrays_of_floats(seal):
    rows, answers = [[1, 2], [2, 3], [3, 1], [4, 4]], [0, 1, 0, 1]
    card = seal(
        LogisticRegression().fit(pd.DataFrame(rows, columns=["a", "b"]), answers),
        table="a,b,y\n1,2,0\n2,3,1\n3,1,0\n4,4,1\n",
        target="y",
    ).card

    assert (card.container, card.array_dtype, card.keeps_integers) == ("array", "", False)


TEXT = "a,y\n" + "".join(f"{i % 9},{i % 2}\n" for i in range(2500))


def test_attack_a_reader_that_makes_floats_of_whole_numbers_is_found_at_sealing(
    seal, tmp_path, monkeypatch
):
    """The fault this is there for, put back: golden rows pass the same reader and see nothing."""
    model = Last().fit(None, None)
    monkeypatch.setattr("secureml.models.sealing.build_card.array_dtype", lambda features: "")
    with pytest.raises(ModelRefused) as refused:
        seal(model, table=TEXT, target="y", allow=ALLOW)

    assert refused.value.check == "answers"
    assert "row 1 of the table is answered 1 as it is served and 0 as pandas" in str(refused.value)
    assert "'a' float64 and int64" in str(refused.value)
    assert not (tmp_path / "models" / "model").exists()


def test_a_difference_in_the_last_row_alone_is_found(seal, monkeypatch):
    usual = PandasReading.rows

    def with_another_end(self, *words):
        table = usual(self, *words).astype(object)
        table[-1, 0] = 0.5
        return table

    monkeypatch.setattr(PandasReading, "rows", with_another_end)
    with pytest.raises(ModelRefused, match="row 2500 of the table is answered 0"):
        seal(Last().fit(None, None), table=TEXT, target="y", allow=ALLOW)


def test_a_row_of_the_table_the_model_fails_on_is_named(seal):
    model = make_pipeline(FunctionTransformer(fails_on_three), LinearRegression())
    model.fit([[1.0], [2.0]], [1, 2])
    rows = "".join(f"{i}.5,1\n" for i in range(1500))
    with pytest.raises(ModelRefused) as refused:
        seal(model, table=f"a,y\n{rows}3.0,1\n7.5,2\n", target="y", allow=ALLOW)

    assert "ZeroDivisionError on row 1501 of the table (three)" in str(refused.value)


def test_a_model_whose_answer_depends_on_the_rows_beside_is_refused(seal):
    model = make_pipeline(FunctionTransformer(centred), LinearRegression()).fit(
        np.array([[1.0], [2]]), [1, 2]
    )
    with pytest.raises(ModelRefused, match=r"alone and .* among others; fix: .*one by one"):
        seal(model, table="a,y\n1,1\n2,2\n5,5\n", target="y", allow=ALLOW)


def test_attack_a_model_that_ends_the_process_ends_no_command(seal):
    model = make_pipeline(FunctionTransformer(centred), LinearRegression()).fit(
        np.array([[1.0], [2]]), [1, 2]
    )
    model.steps[0][1].func = leaves
    with pytest.raises(ModelRefused, match="SystemExit"):
        seal(model, table="a,y\n1,1\n2,2\n5,5\n", target="y", allow=ALLOW)


def test_an_answer_that_json_cannot_carry_is_found_wherever_it_is(seal):
    model = make_pipeline(FunctionTransformer(np.log), LinearRegression())
    model.fit([[1.0], [2.0]], [1, 2])
    table = "a,y\n" + "1.5,1\n" * 100 + "1e-320,1\n" + "1.5,1\n" * 100
    model.steps[-1][1].coef_ = np.array([1e308])
    with pytest.raises(ModelRefused, match="the answer to row 101 of the table"):
        seal(model, table=table, target="y")


def test_the_table_is_read_in_the_dtypes_that_were_said(seal, tmp_path):
    """A code with a leading zero is text, where whoever seals says so."""
    zips = ["01001", "02139", "90210", "60601"] * 5
    rows = pd.DataFrame({"zip": zips, "age": range(20)})
    late = [one.startswith("0") for one in zips]
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["zip"]), remainder="passthrough"
        ),
        LogisticRegression(),
    ).fit(rows, late)
    seal(
        model,
        table=rows.assign(y=late).to_csv(index=False),
        target="y",
        types={"zip": "text"},
    )
    found = served(tmp_path)

    assert found.predict(found.read([["01001", 3], ["90210", 3]])).predictions == [True, False]
    assert found.card.features[0].dtype == "text"


def test_a_price_that_happens_to_be_whole_may_be_said_to_be_a_number_with_a_fraction(
    seal, tmp_path
):
    model = LinearRegression().fit([[1.0], [2.0]], [1, 2])
    seal(model, table="a,y\n1,1\n2,2\n", target="y", types={"a": "float"})
    found = served(tmp_path)

    assert found.predict(found.read([[1.5]])).predictions == pytest.approx([1.5])


def test_what_is_said_of_no_column_or_is_no_dtype_is_refused(seal):
    model = LinearRegression().fit([[1.0], [2.0]], [1, 2])
    for types, says in (
        ({"b": "float"}, "--types names 'b', which is not a feature"),
        ({"y": "float"}, "--types names 'y', which is not a feature"),
        ({"a": "int"}, "'a' is 'int', which is not a type"),
    ):
        with pytest.raises(ModelRefused, match=says):
            seal(model, table="a,y\n1,1\n2,2\n", target="y", types=types)


def test_blanks_are_no_missing_value(seal):
    model = LinearRegression().fit([[1.0], [2.0]], [1, 2])
    with pytest.raises(ModelRefused, match="holds numbers, and in 1 of its cells '   '"):
        seal(model, table="a,y\n1,1\n   ,\n2,2\n", target="y")


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(3),
        HistGradientBoostingClassifier(max_iter=3),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=["neighbours", "trees", "linear"],
)
def test_honest_models_on_tables_full_of_ties_are_sealed(seal, estimator):
    draw = np.random.default_rng(3)
    rows = pd.DataFrame(draw.integers(0, 3, (400, 3)), columns=["a", "b", "c"])
    answers = draw.integers(0, 2, 400)
    model = estimator.fit(rows, answers)

    assert seal(model, table=rows.assign(y=answers).to_csv(index=False), target="y").version == "1"


def test_without_pandas_plain_models_are_sealed_and_their_rows_asked(seal, monkeypatch):
    usual = builtins.__import__

    def without(name, *more, **words):
        if name == "pandas":
            raise ImportError(name)
        return usual(name, *more, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    model = LinearRegression().fit([[1.0], [2.0]], [1, 2])

    assert seal(model, table="a,y\n1,1\n2,2\n", target="y").version == "1"
    model.coef_ = np.array([np.inf])
    with pytest.raises(ModelRefused, match="JSON"):
        seal(model, table="a,y\n1,1\n2,2\n", target="y")
