from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest
from sklearn.utils import all_estimators

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import allowed_names, builtin_names, check_extra, never

DANGEROUS = [
    "builtins.eval",
    "builtins.exec",
    "builtins.getattr",
    "builtins.__import__",
    "builtins.open",
    "builtins.type",
    "builtins.map",
    "__builtin__.eval",
    "os.system",
    "posix.system",
    "nt.system",
    "subprocess.Popen",
    "operator.attrgetter",
    "_operator.methodcaller",
    "functools.partial",
    "functools.reduce",
    "importlib.import_module",
    "pickle.loads",
    "_pickle.loads",
    "sys.modules",
    "types.FunctionType",
    "copyreg._reconstructor",
    "joblib.load",
    "joblib.numpy_pickle.load",
    "joblib.memory.Memory",
    "numpy.load",
    "numpy.memmap",
    "numpy.fromfile",
    "numpy.void",
    "numpy.recarray",
    "numpy.frompyfunc",
    "numpy.lib._npyio_impl.load",
    "numpy.f2py.run_main",
    "scipy.stats._distn_infrastructure.rv_continuous_frozen",
    "scipy.io.loadmat",
    "sklearn.datasets._base.load_files",
    "pandas.eval",
    "pandas.io.pickle.read_pickle",
    "secureml.cli.main",
    "plugins.api_keys.plugin",
    "__main__.anything",
    "webbrowser.open",
    "shutil.rmtree",
    "ctypes.CDLL",
    "code.interact",
    "yaml.load",
    "cloudpickle.loads",
]


@pytest.mark.parametrize("name", DANGEROUS)
def test_what_could_run_anything_is_never_allowed_by_anyone(name):
    assert never(name)
    assert name not in builtin_names()
    with pytest.raises(ModelRefused, match="never allowed") as refused:
        allowed_names(frozenset({name}))
    assert name in refused.value.message


def test_aliases_of_dangerous_functions_are_refused_by_where_they_live():
    for function in (os.system, subprocess.run):
        assert never(f"{function.__module__}.{function.__name__}")


def test_every_shipped_name_is_exact_and_none_is_on_the_never_list():
    for name in builtin_names():
        assert all(part.isidentifier() for part in name.split(".")), name
        assert name.count(".") >= 1
        assert not never(name)
        assert name.split(".")[0] in {
            "builtins",
            "catboost",
            "collections",
            "imblearn",
            "joblib",
            "lightgbm",
            "numpy",
            "scipy",
            "secureml",
            "sklearn",
            "xgboost",
        }


def test_of_ours_only_what_stands_for_models_in_onnx_is_shipped():
    found = [name for name in builtin_names() if name.startswith("secureml.")]
    assert sorted(found) == [
        "secureml.models.boosters.onnx_model.OnnxClassifier",
        "secureml.models.boosters.onnx_model.OnnxRegressor",
    ]
    assert never("secureml.models.boosters.onnx_model.session_of")


def test_only_the_array_wrapper_comes_from_joblib():
    found = [name for name in builtin_names() if name.startswith("joblib")]

    assert found == ["joblib.numpy_pickle.NumpyArrayWrapper"]


def test_every_public_estimator_is_shipped():
    for _, cls in all_estimators():
        assert f"{cls.__module__}.{cls.__name__}" in builtin_names()


def test_an_operator_adds_exact_names():
    assert allowed_names(frozenset({"acme.features.Clipper"})) == (
        builtin_names() | {"acme.features.Clipper"}
    )


@pytest.mark.parametrize("name", ["acme.*", "acme", "acme.", "", "acme.features.", "a b.c", "*"])
def test_wildcards_and_prefixes_are_not_names(name):
    with pytest.raises(ModelRefused):
        allowed_names(frozenset({name}))


def test_plain_values_may_be_added():
    assert "datetime.date" in allowed_names(frozenset({"datetime.date"}))


# -- what an operator allows must be something that a model could use ---------------------------


def refused(name):
    with pytest.raises(ModelRefused) as emitted:
        check_extra(frozenset({"sklearn.base.clone", name}))
    assert emitted.value.check == "globals"
    return emitted.value


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("no_such_f.Name", "no_such_f"),
        ("no_such_f.inner.Name", "no_such_f"),
        ("sklearn.no_such_f.Name", "sklearn.no_such_f"),
        ("sklearn.base.BaseEstimator.fit", "sklearn.base.BaseEstimator"),
    ],
)
def test_a_name_of_a_module_that_is_not_here_is_refused(name, absent):
    emitted = refused(name)

    assert emitted.message == f"{name} is named, and Python finds no module {absent} here"
    assert "PYTHONPATH=/path/to/folder" in emitted.fix


def test_a_name_that_an_imported_module_lacks_is_refused_with_the_nearest():
    assert "did you mean 'clone'?" in refused("sklearn.base.clon").fix


def test_attack_a_module_is_not_imported_to_look_for_its_names(tmp_path, monkeypatch):
    """Who may write the settings may name any module on the path, and a check must run none."""
    (tmp_path / "loud_of_allow").mkdir()
    for file in ("__init__", "inner"):
        (tmp_path / f"loud_of_allow/{file}.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    check_extra(frozenset({"loud_of_allow.Name", "loud_of_allow.inner.Name"}))

    assert not {"loud_of_allow", "loud_of_allow.inner"} & sys.modules.keys()


def test_a_module_that_makes_up_its_names_is_left_alone(monkeypatch):
    module = ModuleType("made_up_f")

    def found(name):
        raise RuntimeError(name)

    module.__getattr__ = found
    monkeypatch.setitem(sys.modules, "made_up_f", module)
    check_extra(frozenset({"made_up_f.Name"}))


def test_every_shipped_name_could_be_allowed_once_more():
    check_extra(builtin_names())
