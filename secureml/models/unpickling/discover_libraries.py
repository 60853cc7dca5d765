"""How library_globals.txt is made: the classes of libraries that follow scikit-learn.

    python -m secureml.models.unpickling.discover_libraries > library_globals.txt

The booster of a library and its wrappers are named here; of imbalanced-learn every estimator and
sampler is taken, and what their pickles ask for.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from secureml.models.boosters.kinds import KINDS
from secureml.models.unpickling.allowlist import never, sklearn_names
from secureml.models.unpickling.discover_names import fit, names_in

_WRAPPERS = (
    *(f"xgboost.sklearn.XGB{kind}" for kind in ("Classifier", "Ranker", "Regressor")),
    *(f"xgboost.sklearn.XGBRF{kind}" for kind in ("Classifier", "Regressor")),
    *(f"lightgbm.sklearn.LGBM{kind}" for kind in ("Classifier", "Ranker", "Regressor")),
)
_BY_HAND = ("imblearn.pipeline.Pipeline",)


def discover() -> frozenset[str]:
    """Return every name found; needs imbalanced-learn."""
    names = {*KINDS, *_WRAPPERS, *_BY_HAND}
    for cls in _classes():
        names.add(f"{cls.__module__}.{cls.__name__}")
        names |= _of(cls)
    return frozenset(name for name in names - sklearn_names() if not never(name))


def _classes() -> Iterator[type]:
    testing = importlib.import_module("imblearn.utils.testing")
    yield from (cls for _, cls in testing.all_estimators())


def _of(cls: Any) -> frozenset[str]:
    try:
        made = fit(cls())
    except TypeError:  # it demands arguments
        return frozenset()
    return frozenset() if made is None else names_in(made)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write("\n".join(sorted(discover())) + "\n")
