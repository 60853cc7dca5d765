from __future__ import annotations

import os
import subprocess

import pytest
from sklearn.utils import all_estimators

from secureml.models.allowlist import allowed_names, builtin_names, never
from secureml.models.artifact import ModelRefused

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
            "collections",
            "joblib",
            "numpy",
            "scipy",
            "sklearn",
        }


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
