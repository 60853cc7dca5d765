"""How allowed_globals.txt is made: fit what scikit-learn has, pickle it, note every name.

    python -m secureml.models.unpickling.discover_names > allowed_globals.txt

Run it when scikit-learn, NumPy or SciPy change, and read the difference before keeping it.
Four sources: the pickles of every estimator scikit-learn can construct for its own tests;
the families of small classes an option may bring in (losses, links, distances, kernels);
the functions behind its named scorers; and the short list below. Names on the never-list
are dropped, whatever asks for them.
"""

from __future__ import annotations

import importlib
import inspect
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import never
from secureml.models.unpickling.reader import load_recorded

_FAMILIES = {
    "sklearn._loss._loss": "Cy",
    "sklearn._loss.link": "",
    "sklearn._loss.loss": "",
    "sklearn.gaussian_process.kernels": "",
    "sklearn.linear_model._sgd_fast": "",
    "sklearn.metrics._dist_metrics": "",
    "sklearn.metrics._scorer": "_",
    "sklearn.neural_network._stochastic_optimizers": "",
    "scipy.sparse._csr": "csr_",
    "scipy.sparse._csc": "csc_",
    "scipy.sparse._coo": "coo_",
}
_BY_HAND = (
    *(
        f"builtins.{name}"
        for name in (
            "bool",
            "bytearray",
            "complex",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "object",
            "range",
            "set",
            "slice",
            "str",
            "tuple",
        )
    ),
    "collections.OrderedDict",
    "collections.defaultdict",
    *(
        f"numpy.{name}"
        for name in (
            "bool",
            "float16",
            "float32",
            "float64",
            "int16",
            "int32",
            "int64",
            "int8",
            "object_",
            "str_",
            "uint16",
            "uint32",
            "uint64",
            "uint8",
        )
    ),
    # What a FunctionTransformer is most often given; each only computes.
    *(
        f"numpy.{name}"
        for name in (
            "abs",
            "absolute",
            "arcsinh",
            "cbrt",
            "cos",
            "exp",
            "expm1",
            "log",
            "log10",
            "log1p",
            "log2",
            "sign",
            "sin",
            "sqrt",
            "square",
            "tan",
            "tanh",
        )
    ),
    "numpy.ma.MaskedArray",
    "numpy.ma.core.MaskedArray",
    "numpy.ma.core._mareconstruct",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.frozen._frozen.FrozenEstimator",
    "sklearn.multiclass._ConstantPredictor",  # fitted only where a label never changes
    "sklearn._loss._loss.__pyx_unpickle_CyHalfMultinomialLoss",  # boosting of three classes
    "sklearn.calibration._TemperatureScaling",
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.metrics._classification.fbeta_score",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._ball_tree.newObj",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    *(
        f"sklearn.feature_selection._univariate_selection.{name}"
        for name in ("chi2", "f_regression", "r_regression")
    ),
    # How a search cut its table; kept beside the model and never asked again.
    *(
        f"sklearn.model_selection._split.{name}"
        for name in (
            "GroupKFold",
            "GroupShuffleSplit",
            "LeaveOneGroupOut",
            "LeaveOneOut",
            "LeavePGroupsOut",
            "LeavePOut",
            "PredefinedSplit",
            "RepeatedKFold",
            "RepeatedStratifiedKFold",
            "ShuffleSplit",
            "StratifiedGroupKFold",
            "StratifiedShuffleSplit",
            "TimeSeriesSplit",
            "_CVIterableWrapper",
        )
    ),
)


class _Everything:
    def __contains__(self, name: object) -> bool:
        return True


def discover() -> frozenset[str]:
    """Return every name found; takes some ten seconds."""
    names = {f"{cls.__module__}.{cls.__name__}" for _, cls in all_estimators()}
    names |= {*_BY_HAND, *_families(), *_scorers()}
    for fitted in _fitted():
        names |= names_in(fitted)
    return frozenset(name for name in names if not never(name))


def _families() -> Iterator[str]:
    for module, prefix in _FAMILIES.items():
        for name, member in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            # PyFuncDistance calls a function that comes with it.
            ours = member.__module__ == module and name.startswith(prefix)
            if ours and not name.startswith("PyFunc"):
                yield f"{module}.{name}"


def _scorers() -> Iterator[str]:
    for name in get_scorer_names():
        function = get_scorer(name)._score_func  # noqa: SLF001 - nothing public names it
        yield f"{function.__module__}.{function.__name__}"


def names_in(fitted: Any) -> frozenset[str]:
    written = io.BytesIO()
    try:
        joblib.dump(fitted, written)
        return load_recorded(written.getvalue(), _Everything())[1]
    except (ModelRefused, TypeError, AttributeError) as error:
        sys.stderr.write(f"not read: {type(fitted).__name__}: {error}\n")
        return frozenset()


def _fitted() -> Iterator[Any]:
    for _, cls in all_estimators():
        try:
            candidates = list(_construct_instances(cls))
        except Exception as error:  # noqa: BLE001 - a test skip is raised as an exception
            sys.stderr.write(f"not constructed: {cls.__name__}: {error}\n")
            continue
        yield from (fitted for made in candidates if (fitted := fit(made)) is not None)


def fit(estimator: Any) -> Any:
    # Each shape of input some estimator insists on, tried in turn.
    table, answers = make_classification(60, 6, random_state=0)
    table = np.abs(table)
    for rows, target in (
        (table, answers),
        (table, np.c_[answers, 1 - answers]),
        (table[:, :1], answers),
        (table[:, 0], answers),
        (["a b", "b c"] * 30, answers),
        ([{"a": 1.0}] * 60, answers),
    ):
        try:
            return estimator.fit(rows, target)
        except Exception:  # noqa: BLE001, S112 - the wrong shape for this one
            continue
    return None


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write("\n".join(sorted(discover())) + "\n")
