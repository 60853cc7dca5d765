"""The first refusal names everything that is missing, and the way that works."""

from __future__ import annotations

import functools
import io
import pickle
import sys
from types import ModuleType

import joblib
import numpy as np
import pytest
import sklearn
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.advice import check_requested, where_to_allow
from secureml.models.unpickling.allowlist import allowed_names, builtin_names
from secureml.models.unpickling.reader import load_recorded
from secureml.models.unpickling.requested_names import Location, Requested, requested

ROWS, ANSWERS = np.array([[0.0, 1], [1, 0], [2, 1], [3, 0]]), [0, 0, 1, 1]
HERE = sklearn.__version__


def refusal(*names, version=HERE, inner=(), allow=(), settings=""):
    asked = Requested(names, frozenset(inner), version)
    with pytest.raises(ModelRefused) as refused:
        check_requested(asked, builtin_names() | set(allow), frozenset(allow), settings)
    return refused.value


def test_what_is_allowed_is_not_refused():
    names = ("sklearn.pipeline.Pipeline", "own.Name")
    check_requested(
        Requested(names, frozenset(), HERE), builtin_names() | {"own.Name"}, frozenset({"own.Name"})
    )


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("__main__.Ratio", "seal with --allow ourfeatures.Ratio"),
        ("__mp_main__.Ratio", "move Ratio into a module of its own"),
        ("joblib.memory.Memory", "set_params(memory=None)"),
        ("functools.partial", "write a `def` in a module that does the same"),
        ("cloudpickle.cloudpickle._make_function", "seal with --allow ourfeatures.NAME"),
        ("dill._dill._create_function", "move lambdas, functions and classes of your own into"),
        ("builtins.getattr", "use a `def` in a module"),
        ("operator.itemgetter", "use a `def` in a module"),
        ("scipy.stats._distn_infrastructure.rv_continuous_frozen", "search.best_estimator_"),
        ("torch._utils._rebuild_tensor", "that scikit-learn computes by itself"),
        ("os.system", "do not use the file if you do not know why"),
    ],
)
def test_a_name_that_is_never_allowed_is_not_advised_to_be_allowed(name, way):
    emitted = refusal(name, "own.Name")

    assert f"{name}, which can never be allowed" in emitted.message
    assert way in emitted.fix
    assert f"--allow {name}" not in emitted.fix


def test_all_names_are_told_at_once_each_with_its_way():
    emitted = refusal(
        "__main__.A", "fasttext.core.Booster", "functools.partial", "__main__.B", "own.C"
    )

    assert "__main__.A, __main__.B, which can never be allowed" in emitted.message
    assert "functools.partial, which can never be allowed" in emitted.message
    assert "fasttext.core.Booster, own.C, which cannot be loaded: " in emitted.message
    assert "Python finds no module fasttext, own here" in emitted.message
    assert "seal with --allow fasttext.core.Booster --allow own.C" in emitted.fix


def test_where_there_are_settings_the_line_to_write_is_told_whole():
    emitted = refusal("own.C", allow=["own.A"], settings="/etc/secureml.toml")

    assert 'write into [models] of /etc/secureml.toml: allow = ["own.A", "own.C"]' in emitted.fix


def test_a_line_of_settings_for_what_is_to_be_moved_keeps_the_names_beside_it():
    emitted = refusal("__main__.A", "own.C", allow=["own.A"], settings="/etc/secureml.toml")

    assert "from ourfeatures import A" in emitted.fix
    assert 'allow = ["ourfeatures.A", "own.A", "own.C"]' in emitted.fix


def test_a_module_that_is_not_found_is_told_with_the_path_to_set_before_anything_is_allowed():
    """An operator who allowed it alone met the same file again: it "does not exist"."""
    emitted = refusal("ourfeatures.Ratio", settings="/etc/secureml.toml")

    assert (
        "ourfeatures.Ratio, which cannot be loaded: Python finds no module ourfeatures here"
        in emitted.message
    )
    assert "not allowed yet" not in emitted.message
    path, allow = emitted.fix.index("PYTHONPATH=/path/to/folder"), emitted.fix.index("allow = [")
    assert path < allow
    then = "; then, if you know and trust ourfeatures.Ratio, run `secureml models allow ourf"
    assert then in emitted.fix
    assert "PYTHONPATH" not in refusal("sklearn.base.clone").fix


def test_a_module_missing_from_a_package_that_is_here_is_told_by_its_whole_name():
    emitted = refusal("pandas.no_such_module.Name", "own_package.deep.Name")

    assert "no module pandas.no_such_module, own_package here" in emitted.message


@pytest.mark.parametrize("name", ["loud.Name", "loud.inner.Name"])
def test_attack_to_look_for_a_module_imports_neither_it_nor_its_package(
    name, tmp_path, monkeypatch
):
    (tmp_path / "loud").mkdir()
    for file in ("__init__", "inner"):
        (tmp_path / f"loud/{file}.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    assert "which is not allowed yet" in refusal(name).message
    assert "loud" not in sys.modules


def test_a_class_inside_a_class_is_told_so():
    emitted = refusal("own.Outer.inner", inner=["own.Outer.inner"])

    assert "lies inside a class" in emitted.message
    assert "at the top of its module" in emitted.fix


@pytest.mark.parametrize(
    ("names", "version", "says"),
    [
        (("numpy.core.multiarray.scalar",), "1.3.2", "scikit-learn 1.3.2 and NumPy 1;"),
        (("numpy.core.multiarray.scalar",), "", "NumPy 1;"),
        (("sklearn.preprocessing.data.StandardScaler",), "", "an old scikit-learn;"),
        (("sklearn.externals.joblib.numpy_pickle.X",), "", "an old scikit-learn;"),
        (("sklearn.neighbors._dist_metrics.EuclideanDistance",), "1.0.1", "scikit-learn 1.0.1;"),
        ((), "1.0.1", "scikit-learn 1.0.1;"),
    ],
)
def test_an_old_file_is_said_to_be_old_and_nothing_is_to_be_allowed(names, version, says):
    emitted = refusal(*names, "own.Name", version=version)

    assert emitted.check == "versions"
    assert f"the file was made with {says}" in emitted.message
    assert HERE in emitted.message
    assert emitted.fix.startswith("train the model again in this environment")
    assert "allow" not in emitted.fix


def test_a_version_that_secureml_runs_with_is_offered_as_the_other_way():
    assert "scikit-learn==1.7.0" in refusal(version="1.7.0").fix
    assert "scikit-learn==" not in refusal(version="1.3.2").fix


def test_a_name_of_this_scikit_learn_is_not_called_old():
    assert refusal("sklearn.base.clone").check == "globals"


def test_where_to_allow_is_one_line_of_toml():
    import tomllib

    line = where_to_allow({"b.B", "a.A"}, "x.toml").partition(": ")[2]
    assert tomllib.loads(line) == {"allow": ["a.A", "b.B"]}


# -- files as people write them -------------------------------------------------------------------


def of(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    asked = requested(file.getvalue())
    with pytest.raises(ModelRefused) as refused:
        check_requested(asked, builtin_names(), frozenset())
    return refused.value


def test_a_class_of_a_notebook(monkeypatch):
    class Ratio(TransformerMixin, BaseEstimator):
        def fit(self, rows, answers=None):
            return self

        def transform(self, rows):
            return rows

    Ratio.__module__, Ratio.__qualname__ = "__main__", "Ratio"
    monkeypatch.setattr(sys.modules["__main__"], "Ratio", Ratio, raising=False)
    emitted = of(make_pipeline(Ratio(), LogisticRegression()).fit(ROWS, ANSWERS))

    assert "__main__.Ratio, which can never be allowed (it was defined in the script" in str(
        emitted
    )


def test_a_pipeline_with_a_cache(tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression(), memory=joblib.Memory(tmp_path))
    model.fit(ROWS, ANSWERS)

    assert "set_params(memory=None)" in str(of(model))


def test_a_search_over_distributions():
    search = RandomizedSearchCV(
        LogisticRegression(), {"C": stats.uniform(0.1, 1)}, n_iter=1, cv=2, random_state=0
    )

    assert "search.best_estimator_" in str(of(search.fit(ROWS, ANSWERS)))


def test_functions_with_arguments_and_bound_methods(monkeypatch):
    module = ModuleType("own_module_of_the_tests")

    def power(rows, by=1):
        return rows**by

    module.power = power
    monkeypatch.setattr(power, "__module__", module.__name__)
    monkeypatch.setattr(power, "__qualname__", "power")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    partial = make_pipeline(
        FunctionTransformer(functools.partial(power, by=2)), LogisticRegression()
    )
    emitted = of(partial.fit(ROWS, ANSWERS))
    assert "functools.partial at FunctionTransformer.func, which can never be" in emitted.message
    assert emitted.fix.startswith(
        "write FunctionTransformer(f, kw_args={...}) in place of partial("
    )
    assert "own_module_of_the_tests.power, which is not allowed yet" in emitted.message
    assert len(str(emitted)) < 500
    bound = make_pipeline(FunctionTransformer("{:.1f}".format, check_inverse=False))
    assert pickle.loads(pickle.dumps(bound))
    assert "bound methods" in str(of(bound))


@pytest.mark.parametrize("columns", [[0], [True, False]])
def test_a_boosting_that_knows_categories_is_told_to_have_them_encoded_before_it(columns):
    """scikit-learn puts the partial there, whichever way the columns are named."""
    rows = np.array([[place % 4, place] for place in range(40)], dtype=float)
    boosting = HistGradientBoostingClassifier(categorical_features=columns, max_iter=2)
    emitted = of(boosting.fit(rows, [0, 1] * 20))

    assert "functools.partial at FunctionTransformer.func" in emitted.message
    assert "categorical_features=None" in emitted.fix
    assert "kw_args" not in emitted.fix
    # The way out, taken:
    encoded = make_pipeline(
        make_column_transformer((OrdinalEncoder(), [0]), remainder="passthrough"),
        HistGradientBoostingClassifier(categorical_features=None, max_iter=2),
    )
    file = io.BytesIO()
    joblib.dump(encoded.fit(rows, [0, 1] * 20), file)
    check_requested(requested(file.getvalue()), builtin_names(), frozenset())
    assert load_recorded(file.getvalue(), allowed_names())[0].predict(rows).shape == (40,)


def test_partials_in_several_places_are_told_with_each_place_and_way():
    asked = Requested(
        ("functools.partial",),
        frozenset(),
        HERE,
        {
            "functools.partial": (
                Location("FunctionTransformer.func", "own.f"),
                Location("Own.f", ""),
            )
        },
    )
    with pytest.raises(ModelRefused) as refused:
        check_requested(asked, builtin_names(), frozenset())

    assert "functools.partial at FunctionTransformer.func and Own.f" in refused.value.message
    assert "kw_args" in refused.value.fix
    assert "write a `def` in a module" in refused.value.fix
