"""Fitted models of the libraries that follow scikit-learn, each made where its library is there."""

from __future__ import annotations

import importlib
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.optional_packages import need

_GENERATOR = np.random.default_rng(7)
ROWS = _GENERATOR.normal(size=(150, 4))
_SCORE = ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2] + _GENERATOR.normal(size=150) / 4
TWO, THREE = (_SCORE > 0).astype(int), np.digitize(_SCORE, [-0.5, 0.5])
_QUIET = {"verbose": 0, "allow_writing_files": False, "iterations": 5, "random_seed": 0}


class Recipe(NamedTuple):
    """How a model is made: the module and class, its options, what it learns; what it lies in."""

    made: str
    options: dict[str, Any]
    answers: Any
    around: Any = None


def _xgb(kind: str, answers: Any, around: Any = None, **options: Any) -> Recipe:
    return Recipe(f"xgboost:{kind}", {"n_estimators": 5, "n_jobs": 2, **options}, answers, around)


def _lgb(kind: str, answers: Any, around: Any = None, **options: Any) -> Recipe:
    given = {"n_estimators": 5, "n_jobs": 2, "verbose": -1, "random_state": 0, **options}
    return Recipe(f"lightgbm:{kind}", given, answers, around)


def _cat(kind: str, answers: Any, around: Any = None, **options: Any) -> Recipe:
    return Recipe(f"catboost:{kind}", {**_QUIET, **options}, answers, around)


def _sampled(model: Any) -> Any:
    made = importlib.import_module("imblearn.pipeline")
    return made.make_pipeline(StandardScaler(), model, LogisticRegression())


def _scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


RECIPES: dict[str, Recipe] = {
    "xgboost of two classes": _xgb("XGBClassifier", TWO),
    "xgboost of three classes": _xgb("XGBClassifier", THREE),
    "xgboost regression": _xgb("XGBRegressor", _SCORE),
    "xgboost dart": _xgb("XGBClassifier", TWO, booster="dart", rate_drop=0.3),
    "xgboost linear": _xgb("XGBRegressor", _SCORE, booster="gblinear"),
    "xgboost forest": _xgb("XGBRFClassifier", THREE),
    "xgboost counts": _xgb("XGBRegressor", THREE, objective="count:poisson"),
    "xgboost scaled": _xgb("XGBClassifier", TWO, _scaled),
    "xgboost calibrated": _xgb("XGBClassifier", TWO, lambda m: CalibratedClassifierCV(m, cv=2)),
    "xgboost searched": _xgb(
        "XGBClassifier", TWO, lambda m: GridSearchCV(m, {"max_depth": [2, 3]}, cv=2)
    ),
    "lightgbm of two classes": _lgb("LGBMClassifier", TWO),
    "lightgbm of three classes": _lgb("LGBMClassifier", THREE),
    "lightgbm regression": _lgb("LGBMRegressor", _SCORE),
    "lightgbm forest": _lgb(
        "LGBMRegressor", _SCORE, boosting_type="rf", subsample=0.5, subsample_freq=1
    ),
    "lightgbm dart": _lgb("LGBMClassifier", TWO, boosting_type="dart"),
    "lightgbm quantile": _lgb("LGBMRegressor", _SCORE, objective="quantile", alpha=0.9),
    "lightgbm of one leaf": _lgb("LGBMRegressor", np.ones(150)),
    "lightgbm voting": _lgb(
        "LGBMClassifier", TWO, lambda m: VotingClassifier([("m", m)], voting="soft")
    ),
    "lightgbm stacked": _lgb(
        "LGBMClassifier", TWO, lambda m: StackingClassifier([("m", m)], LogisticRegression(), cv=2)
    ),
    "catboost of two classes": _cat("CatBoostClassifier", TWO),
    "catboost of three classes": _cat("CatBoostClassifier", THREE),
    "catboost of words": _cat("CatBoostClassifier", np.array(["no", "maybe", "yes"])[THREE]),
    "catboost regression": _cat("CatBoostRegressor", _SCORE),
    "catboost by leaves": _cat("CatBoostClassifier", THREE, grow_policy="Lossguide"),
    "catboost by depth": _cat("CatBoostRegressor", _SCORE, grow_policy="Depthwise"),
    "catboost of many borders": _cat("CatBoostRegressor", _SCORE, border_count=600),
    "catboost scaled": _cat("CatBoostClassifier", THREE, _scaled),
    "catboost searched": _cat(
        "CatBoostClassifier", TWO, lambda m: GridSearchCV(m, {"depth": [2, 3]}, cv=2)
    ),
    "imblearn over-sampled": Recipe(
        "imblearn.over_sampling:SMOTE", {"random_state": 0}, TWO, _sampled
    ),
    "imblearn under-sampled": Recipe(
        "imblearn.under_sampling:RandomUnderSampler", {"random_state": 0}, TWO, _sampled
    ),
    "imblearn forest": Recipe(
        "imblearn.ensemble:BalancedRandomForestClassifier", {"n_estimators": 5}, TWO
    ),
    "imblearn bagging": Recipe(
        "imblearn.ensemble:BalancedBaggingClassifier", {"n_estimators": 3}, TWO
    ),
    "imblearn boosting": Recipe("imblearn.ensemble:RUSBoostClassifier", {"n_estimators": 5}, TWO),
    "imblearn easy": Recipe("imblearn.ensemble:EasyEnsembleClassifier", {"n_estimators": 3}, TWO),
}


def fitted(name: str, rows: Any = ROWS) -> Any:
    """Return a fitted model; skip the test where its library is missing."""
    recipe = RECIPES[name]
    module, _, kind = recipe.made.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        need(module.partition(".")[0])
        model = getattr(importlib.import_module(module), kind)(**recipe.options)
        return (recipe.around(model) if recipe.around else model).fit(rows, recipe.answers)
