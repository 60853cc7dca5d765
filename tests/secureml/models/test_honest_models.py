"""Models as people make them load, and answer as joblib's own reader has them answer."""

from __future__ import annotations

import io

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch, FeatureAgglomeration, KMeans
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
)
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, chi2
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import all_estimators

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.reader import load_estimator

DRAW = np.random.default_rng(0)
ROWS = np.abs(DRAW.normal(size=(90, 4)))
TWO, THREE = np.arange(90) % 2, np.arange(90) % 3
NUMBERS = ROWS.sum(axis=1) + 1
FRAME = pd.DataFrame(
    {"age": ROWS[:, 0], "city": DRAW.choice(["a", "b"], 90), "rooms": DRAW.integers(0, 9, 90)}
)
WORDS = np.array([f"w{n % 7} w{n % 5} the" for n in range(90)])
COLUMNS = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "rooms"]),
        ("city", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=None)),
    ]
)
FOREST = RandomForestClassifier(3, n_jobs=-1, random_state=np.random.RandomState(1))
SCORE = make_scorer(f1_score)

MODELS = {
    "forest": (FOREST, ROWS, TWO),
    "forest of several answers": (RandomForestClassifier(3), ROWS, np.c_[TWO, THREE]),
    "text labels": (RandomForestClassifier(3), ROWS, np.array(["no", "yes"], object)[TWO]),
    "boosting": (GradientBoostingClassifier(n_estimators=3), ROWS, TWO),
    "boosting of three": (GradientBoostingClassifier(n_estimators=3), ROWS, THREE),
    "boosting of numbers": (GradientBoostingRegressor(loss="huber", n_estimators=3), ROWS, NUMBERS),
    "histograms": (HistGradientBoostingClassifier(max_iter=3), ROWS, TWO),
    "histograms of three": (HistGradientBoostingClassifier(max_iter=3), ROWS, THREE),
    "histograms of categories": (
        HistGradientBoostingClassifier(max_iter=3, early_stopping=True),
        np.c_[ROWS, THREE], TWO,
    ),
    "ada": (AdaBoostClassifier(n_estimators=3), ROWS, TWO),
    "bags": (BaggingClassifier(make_pipeline(StandardScaler(), GaussianNB()), 3), ROWS, TWO),
    "isolation": (IsolationForest(n_estimators=3), ROWS, TWO),
    "calibrated by a curve": (CalibratedClassifierCV(FOREST, cv=2), ROWS, TWO),
    "calibrated by steps": (
        CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=2), ROWS, TWO,
    ),
    "calibrated by temperature": (
        CalibratedClassifierCV(LogisticRegression(), method="temperature", cv=2), ROWS, THREE,
    ),
    "calibrated afterwards": (
        CalibratedClassifierCV(FrozenEstimator(LogisticRegression().fit(ROWS, TWO))), ROWS, TWO,
    ),
    "stacked": (
        StackingClassifier([("a", FOREST), ("b", make_pipeline(StandardScaler(), SVC()))],
                           passthrough=True, cv=2), ROWS, TWO,
    ),
    "voted": (
        VotingClassifier([("a", GaussianNB()), ("b", "drop"), ("c", FOREST)], voting="soft"),
        ROWS, TWO,
    ),
    "searched": (
        GridSearchCV(make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
                     {"functiontransformer__func": [np.log1p, np.sqrt, None]}, cv=2), ROWS, TWO,
    ),
    "searched by several scores": (
        GridSearchCV(LogisticRegression(), {"C": [1, 2]}, scoring={"a": SCORE, "b": "roc_auc"},
                     refit="a", cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=1)), ROWS, TWO,
    ),
    "searched at random": (
        RandomizedSearchCV(FOREST, {"max_depth": [2, None]}, n_iter=2, cv=2, scoring=SCORE),
        ROWS, TWO,
    ),
    "threshold": (TunedThresholdClassifierCV(LogisticRegression(), scoring=SCORE), ROWS, TWO),
    "one against the rest": (OneVsRestClassifier(LinearSVC()), ROWS, THREE),
    "chain": (ClassifierChain(LogisticRegression()), ROWS, np.c_[TWO, 1 - TWO]),
    "process": (GaussianProcessClassifier(1.0 * RBF() + WhiteKernel()), ROWS, TWO),
    "process of three": (GaussianProcessClassifier(Matern() ** 2), ROWS, THREE),
    "vectors": (SVC(kernel="rbf"), ROWS, TWO),
    "network": (MLPClassifier((3,), max_iter=5), ROWS, THREE),
    "descent": (SGDClassifier(loss="log_loss", average=True), ROWS, TWO),
    "scored coefficients": (LogisticRegressionCV(Cs=2, cv=2, scoring=SCORE), ROWS, TWO),
    "tweedie": (TweedieRegressor(power=1.5), ROWS, NUMBERS),
    "steps": (IsotonicRegression(out_of_bounds="clip"), ROWS[:, 0], NUMBERS),
    "target of a logarithm": (
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1), ROWS, NUMBERS,
    ),
    "splines": (make_pipeline(SplineTransformer(), Ridge()), ROWS, NUMBERS),
    "chosen": (make_pipeline(SelectKBest(chi2, k=2), GaussianNB()), ROWS, TWO),
    "chosen by a model": (
        # So many columns in any order of the tests: the forest draws from one generator.
        make_pipeline(SelectFromModel(FOREST, importance_getter="feature_importances_",
                                      threshold=-np.inf, max_features=3),
                      RFE(LogisticRegression()), GaussianNB()), ROWS, TWO,
    ),
    "joined": (
        make_pipeline(FeatureUnion([("a", PCA(2)), ("b", KMeans(2)), ("c", "passthrough")]),
                      LogisticRegression()), ROWS, TWO,
    ),
    "agglomerated": (make_pipeline(FeatureAgglomeration(2), Birch()), ROWS, TWO),
    "filled": (make_pipeline(KNNImputer(), LogisticRegression()), ROWS, TWO),
    "columns": (make_pipeline(COLUMNS, FOREST), FRAME, TWO),
    "codes": (make_pipeline(OrdinalEncoder(dtype=np.int32), FOREST), FRAME[["city"]], TWO),
    "means of targets": (make_pipeline(TargetEncoder(), FOREST), FRAME[["city"]], TWO),
    "words": (make_pipeline(TfidfVectorizer(stop_words="english"), LinearSVC()), WORDS, TWO),
    "hashed words": (make_pipeline(HashingVectorizer(n_features=64), SGDClassifier()), WORDS, TWO),
    "sparse": (LogisticRegression(solver="liblinear"), ROWS, TWO),
    **{
        f"neighbours by {metric} in a {how}": (
            KNeighborsClassifier(metric=metric, algorithm=how), ROWS, TWO,
        )
        for metric in ("euclidean", "manhattan", "chebyshev")
        for how in ("brute", "kd_tree", "ball_tree")
    },
}  # fmt: skip


def written(model, **words):
    file = io.BytesIO()
    joblib.dump(model, file, **words)
    return file.getvalue()


def same(ours, theirs):
    if isinstance(theirs, list):  # one array for each of several answers
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_an_honest_model_loads_and_answers_the_same(case):
    model, rows, answers = MODELS[case]
    model.fit(rows, answers)
    if case == "sparse":
        model.sparsify()
    for words in ({}, {"compress": 3}):
        data = written(model, **words)
        ours, theirs = load_estimator(data, builtin_names()), joblib.load(io.BytesIO(data))
        for method in ("predict", "predict_proba", "decision_function"):
            if hasattr(theirs, method):
                same(getattr(ours, method)(rows), getattr(theirs, method)(rows))


@pytest.mark.parametrize("case", ["forest", "columns", "searched", "process", "words"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.filterwarnings("ignore")
def test_every_protocol_that_was_read_is_read(case, protocol):
    model, rows, answers = MODELS[case]
    data = written(model.fit(rows, answers), protocol=protocol)
    np.testing.assert_array_equal(
        load_estimator(data, builtin_names()).predict(rows), model.predict(rows)
    )


@pytest.mark.filterwarnings("ignore")
def test_every_estimator_loads_unfitted():
    refused = {}
    for name, cls in all_estimators():
        try:
            made = cls()
        except TypeError:  # takes an estimator
            continue
        try:
            assert type(load_estimator(written(made), builtin_names())) is cls
        except ModelRefused as error:  # every one of them is to be named
            refused[name] = str(error)

    assert refused == {}
