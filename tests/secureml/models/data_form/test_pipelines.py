"""Everyday models, each written, read back, and asked the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import loguniform, randint
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import BisectingKMeans, KMeans
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold, chi2
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, RationalQuadratic, WhiteKernel
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import (
    ElasticNetCV,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.metrics import f1_score, make_scorer
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import ComplementNB, GaussianNB
from sklearn.neighbors import (
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM

DRAW = np.random.default_rng(0)
ROWS = np.abs(DRAW.normal(size=(90, 4)))
HOLES = np.where(DRAW.random((90, 4)) < 0.1, np.nan, ROWS)
TWO, THREE = np.arange(90) % 2, np.arange(90) % 3
BOTH, WORDS_OF_TWO = np.c_[TWO, THREE], np.array(["no", "yes"], object)[TWO]
NUMBERS = ROWS.sum(axis=1) + 1
FRAME = pd.DataFrame(
    {
        "age": np.where(DRAW.random(90) < 0.1, np.nan, ROWS[:, 0]),
        "rooms": DRAW.integers(0, 9, 90),
        "city": DRAW.choice(["Ulm", "Jena", "Bonn"], 90),
        "size": pd.Categorical(DRAW.choice(["s", "m", "l"], 90), ["s", "m", "l"], ordered=True),
        "paid": DRAW.random(90) < 0.5,
        "since": pd.to_datetime("2026-01-01") + pd.to_timedelta(DRAW.integers(0, 99, 90), "D"),
    }
)
TEXT = np.array([f"w{n % 7} w{n % 5} the" for n in range(90)], object)
RECORDS = [{"w": float(n % 7), f"k{n % 3}": 1.0} for n in range(90)]
NUMERIC = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())


def columns(**words):
    return ColumnTransformer(
        [
            ("numbers", NUMERIC, ["age", "rooms"]),
            (
                "city",
                OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2),
                ["city"],
            ),
            ("size", OrdinalEncoder(categories=[["s", "m", "l"]]), ["size"]),
        ],
        **words,
    )


def forest(**words):
    return RandomForestClassifier(3, random_state=0, **words)


def boosting(**words):
    return HistGradientBoostingClassifier(max_iter=3, **words)


def scored(**words):
    return {"cv": 2, "scoring": make_scorer(f1_score), **words}


CLASSIFIERS = [("a", GaussianNB()), ("b", "drop"), ("c", forest())]
MODELS = {
    "columns of a frame": (make_pipeline(columns(), LogisticRegression()), FRAME, TWO),
    "the rest passed through": (
        make_pipeline(
            columns(remainder="passthrough", verbose_feature_names_out=False), GaussianNB()
        ),
        FRAME[["age", "rooms", "city", "size", "paid"]], TWO,
    ),
    "columns chosen by type": (
        make_pipeline(
            make_column_transformer(
                (NUMERIC, make_column_selector(dtype_include=[np.int64, np.float64])),
                (OneHotEncoder(drop="if_binary"), make_column_selector("city|size")),
            ), forest(),
        ), FRAME, TWO,
    ),
    "a frame out of a scaler": (
        make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()),
        FRAME[["rooms", "paid"]], TWO,
    ),
    "labels of text": (forest(), ROWS, WORDS_OF_TWO),
    "several answers": (forest(), ROWS, BOTH),
    "weighted classes": (forest(class_weight={0: 1, 1: 2.5}), ROWS, TWO),
    "numbers by trees": (ExtraTreesRegressor(3, random_state=0), HOLES, NUMBERS),
    "forest of numbers": (RandomForestRegressor(3, max_depth=3), ROWS, np.c_[NUMBERS, NUMBERS]),
    "boosting of three": (GradientBoostingClassifier(n_estimators=3), ROWS, THREE),
    "boosting by exponents": (
        GradientBoostingClassifier(n_estimators=3, loss="exponential"), ROWS, TWO,
    ),
    "boosting by quantiles": (
        GradientBoostingRegressor(n_estimators=3, loss="quantile"), ROWS, NUMBERS,
    ),
    "histograms": (boosting(early_stopping=True), HOLES, TWO),
    "histograms of three": (boosting(), HOLES, THREE),
    "histograms of categories": (
        boosting(categorical_features="from_dtype"), FRAME[["age", "size", "rooms"]], TWO,
    ),
    "histograms of numbered categories": (
        boosting(categorical_features=[3]), np.c_[ROWS[:, :3], THREE], TWO,
    ),
    "histograms of gamma": (
        HistGradientBoostingRegressor(loss="gamma", max_iter=3), ROWS, NUMBERS,
    ),
    "ada": (AdaBoostClassifier(n_estimators=3), ROWS, THREE),
    "bags of columns": (
        BaggingClassifier(make_pipeline(StandardScaler(), GaussianNB()), 3, max_features=2),
        ROWS, TWO,
    ),
    "outliers by trees": (IsolationForest(n_estimators=3, random_state=0), ROWS, None),
    "outliers by covariance": (EllipticEnvelope(random_state=0), ROWS, None),
    "outliers by density": (LocalOutlierFactor(novelty=True), ROWS, None),
    "outliers by one class": (OneClassSVM(), ROWS, None),
    "calibrated by a curve": (CalibratedClassifierCV(forest(), cv=2), ROWS, TWO),
    "calibrated by steps": (
        CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=2), ROWS, THREE,
    ),
    "calibrated by temperature": (
        CalibratedClassifierCV(LogisticRegression(), method="temperature", cv=2), ROWS, THREE,
    ),
    "voted": (VotingClassifier(CLASSIFIERS, voting="soft", weights=[1, 0, 2]), ROWS, TWO),
    "voted numbers": (VotingRegressor([("a", Ridge()), ("b", SVR())]), ROWS, NUMBERS),
    "stacked": (StackingClassifier(CLASSIFIERS, passthrough=True, cv=2), ROWS, THREE),
    "stacked numbers": (
        StackingRegressor([("a", Ridge()), ("b", KNeighborsRegressor())], cv=2), ROWS, NUMBERS,
    ),
    "searched": (
        GridSearchCV(
            make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
            {"functiontransformer__func": [np.log1p, np.sqrt, None]}, **scored(),
        ), ROWS, TWO,
    ),
    "searched at random": (
        RandomizedSearchCV(
            forest(), {"max_depth": randint(1, 4), "min_impurity_decrease": loguniform(1e-4, 1e-1)},
            n_iter=3, random_state=0, **scored(),
        ), ROWS, TWO,
    ),
    "searched by several scores": (
        GridSearchCV(
            LogisticRegression(), {"C": [1, 2.5]},
            **scored(scoring={"a": make_scorer(f1_score), "b": "roc_auc"}, refit="a"),
        ), ROWS, TWO,
    ),
    "tuned threshold": (TunedThresholdClassifierCV(LogisticRegression(), cv=2), ROWS, TWO),
    "fixed threshold": (FixedThresholdClassifier(LogisticRegression(), threshold=0.3), ROWS, TWO),
    "a target of logarithms": (
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1), ROWS, NUMBERS,
    ),
    "a target of quantiles": (
        TransformedTargetRegressor(Ridge(), transformer=QuantileTransformer(n_quantiles=9)),
        ROWS, NUMBERS,
    ),
    "words": (make_pipeline(TfidfVectorizer(stop_words="english"), LinearSVC()), TEXT, THREE),
    "words and letters": (
        make_pipeline(
            FeatureUnion([
                ("words", CountVectorizer(binary=True)),
                ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3))),
            ]), ComplementNB(),
        ), TEXT, TWO,
    ),
    "hashed words": (make_pipeline(HashingVectorizer(n_features=64), SGDClassifier()), TEXT, TWO),
    "topics of words": (
        make_pipeline(TfidfVectorizer(), TruncatedSVD(2, random_state=0), SVC(probability=True)),
        TEXT, TWO,
    ),
    "a column of words": (
        make_pipeline(
            ColumnTransformer([("w", TfidfVectorizer(), "text"), ("n", "passthrough", ["n"])]),
            LogisticRegression(),
        ), pd.DataFrame({"text": TEXT, "n": THREE}), TWO,
    ),
    "dictionaries": (make_pipeline(DictVectorizer(), LogisticRegression()), RECORDS, TWO),
    "hashed dictionaries": (make_pipeline(FeatureHasher(16), Ridge()), RECORDS, NUMBERS),
    "filled by neighbours": (make_pipeline(KNNImputer(), LogisticRegression()), HOLES, TWO),
    "marks of holes": (
        make_pipeline(
            FeatureUnion([("a", SimpleImputer()), ("b", MissingIndicator(features="all"))]),
            GaussianNB(),
        ), HOLES, TWO,
    ),
    "means of targets": (make_pipeline(TargetEncoder(cv=2), Ridge()), FRAME[["city"]], NUMBERS),
    "splines": (make_pipeline(SplineTransformer(extrapolation="linear"), Ridge()), ROWS, NUMBERS),
    "polynomials": (make_pipeline(PolynomialFeatures(3), Ridge()), ROWS, NUMBERS),
    "bins": (make_pipeline(KBinsDiscretizer(3), LogisticRegression()), ROWS, TWO),
    "powers": (make_pipeline(PowerTransformer(), ElasticNetCV(cv=2)), ROWS, NUMBERS),
    "chosen by a test": (make_pipeline(SelectKBest(chi2, k=2), GaussianNB()), ROWS, TWO),
    "chosen by models": (
        make_pipeline(
            VarianceThreshold(), SelectFromModel(forest(), threshold=-np.inf, max_features=3),
            RFE(LogisticRegression()), GaussianNB(),
        ), ROWS, TWO,
    ),
    "joined": (
        make_pipeline(
            FeatureUnion([("a", PCA(2)), ("b", KMeans(2)), ("c", "passthrough")]),
            LogisticRegression(),
        ), ROWS, TWO,
    ),
    "halved": (BisectingKMeans(3, algorithm="elkan", random_state=0), ROWS, None),
    "mixture": (GaussianMixture(2, covariance_type="tied", random_state=0), ROWS, None),
    "mixture of unknown size": (BayesianGaussianMixture(n_components=2), ROWS, None),
    "density": (KernelDensity(kernel="tophat"), ROWS, None),
    "process": (GaussianProcessClassifier(1.0 * RBF() + WhiteKernel()), ROWS, THREE),
    "process of numbers": (
        GaussianProcessRegressor(Matern() ** 2 + RationalQuadratic(), alpha=1), ROWS, NUMBERS,
    ),
    "one against the rest": (OneVsRestClassifier(LinearSVC()), ROWS, THREE),
    "one against one": (OneVsOneClassifier(SGDClassifier()), ROWS, THREE),
    "codes": (OutputCodeClassifier(LogisticRegression(), random_state=0), ROWS, THREE),
    "several labels": (MultiOutputClassifier(LogisticRegression()), ROWS, BOTH),
    "several numbers": (MultiOutputRegressor(Ridge()), ROWS, np.c_[NUMBERS, NUMBERS]),
    "a chain": (ClassifierChain(LogisticRegression(), order=[1, 0]), ROWS, np.c_[TWO, 1 - TWO]),
    "labels as marks": (KNeighborsClassifier(), ROWS, np.c_[TWO, 1 - TWO]),
    "vectors of a kernel function": (SVC(kernel="precomputed"), ROWS @ ROWS.T, TWO),
    "few vectors": (NuSVC(probability=True), ROWS, THREE),
    "network": (MLPClassifier((3,), max_iter=5, early_stopping=True), ROWS, THREE),
    "counts": (PoissonRegressor(), ROWS, NUMBERS),
    "tweedie": (TweedieRegressor(power=1.5), ROWS, NUMBERS),
    "centres": (NearestCentroid(), ROWS, THREE),
    "neighbours within": (RadiusNeighborsRegressor(9.0, metric="manhattan"), ROWS, NUMBERS),
    **{
        f"neighbours by {metric} in a {how}": (
            KNeighborsClassifier(metric=metric, algorithm=how, weights="distance"), ROWS, TWO,
        )
        for metric in ("euclidean", "manhattan", "chebyshev", "minkowski")
        for how in ("brute", "kd_tree", "ball_tree")
    },
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_a_model_answers_as_before(case, answers_as_before):
    model, rows, answers = MODELS[case]
    answers_as_before(model.fit(rows) if answers is None else model.fit(rows, answers), rows)
