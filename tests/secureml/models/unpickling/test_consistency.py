"""A file whose fitted numbers do not fit each other is refused before any of it is called.

Each attack takes an honest model and changes one attribute that compiled code trusts. Called,
most of these models would read or write memory that is not theirs: so that nothing of them is
called is part of each claim.
"""

from __future__ import annotations

import io

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.cluster import Birch, BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.decomposition import NMF, LatentDirichletAllocation
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import DistanceMetric
from sklearn.metrics.pairwise import pairwise_distances_argmin_min
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.reader import load_estimator

DRAW = np.random.default_rng(0)
ROWS = DRAW.random((60, 3))
TWO, THREE = np.arange(60) % 2, np.arange(60) % 3
NUMBERS = ROWS[:, 0] + ROWS[:, 1]
SPARSE = scipy.sparse.csr_matrix(ROWS)
CODES = np.c_[THREE, TWO]
WORDS = ["one two three", "two three", "three four"]
# A function of scikit-learn that an operator allowed, without a thought of this place.
ALSO = frozenset({"sklearn.metrics.pairwise.pairwise_distances_argmin_min"})
ASKED = ("predict", "predict_proba", "decision_function", "transform", "score_samples")


def load(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return load_estimator(file.getvalue(), builtin_names() | ALSO)


def put(**values):
    def change(model):
        vars(model).update(values)

    return change


def at(path, change):
    """Return a change of what lies under a path of attributes."""

    def deep(model):
        for name in path.split("."):
            model = model[int(name)] if name.isdigit() else getattr(model, name)
        change(model)

    return deep


def drop(name):
    return lambda model: vars(model).pop(name)


def repeat_stages(model):
    model.estimators_ = np.array([[model.estimators_[0, 0]] * 9], object)


def swap_trees(other):
    def change(model):
        model.estimators_ = model.estimators_.copy()
        model.estimators_[0, 0] = other

    return change


def nodes(**values):
    def change(model):
        for stage in model._predictors:
            for tree in stage:
                changed = tree.nodes.copy()
                for name, value in values.items():
                    changed[name] = value
                tree.nodes = changed

    return change


def bits_of_eight(model):
    for stage in model._predictors:
        for tree in stage:
            tree.raw_left_cat_bitsets = np.zeros((1, 8), np.uint32)
            tree.binned_left_cat_bitsets = np.zeros((1, 8), np.uint32)


def bits(model):
    for stage in model._predictors:
        for tree in stage:
            tree.raw_left_cat_bitsets = np.zeros((0, 1), np.uint32)


def swap_bins(**values):
    return at("_bin_mapper", put(**values))


def remap(words):
    def change(model):
        model.vocabulary_ = dict.fromkeys(words, 10**6)

    return change


WIDE = DecisionTreeRegressor(max_depth=1).fit(
    np.hstack([np.zeros((60, 4999)), NUMBERS[:, None]]), NUMBERS
)
BROAD = DecisionTreeRegressor(max_depth=1).fit(ROWS, np.c_[NUMBERS, NUMBERS])

# What is attacked: an honest model, its rows and answers, the change, and the attribute named.
ATTACKS = {
    "boosting writes past its columns": (
        GradientBoostingRegressor(n_estimators=1, init="zero"), ROWS, NUMBERS,
        repeat_stages, "estimators_",
    ),
    "boosting of one class writes past its columns": (
        GradientBoostingClassifier(n_estimators=1), ROWS, TWO, repeat_stages, "estimators_",
    ),
    "boosting says it has more trees than its first guess has columns": (
        GradientBoostingClassifier(n_estimators=1), ROWS, THREE,
        at("init_", put(n_classes_=2, class_prior_=np.ones(2))), "n_classes_",
    ),
    "boosting by a first guess without answers": (
        GradientBoostingRegressor(n_estimators=1), ROWS, NUMBERS,
        at("init_", put(n_outputs_=0)), "n_outputs_",
    ),
    "boosting by a first guess of any shape": (
        GradientBoostingRegressor(n_estimators=1, init=LinearRegression()), ROWS, NUMBERS,
        lambda model: put(coef_=np.zeros((0, 3)))(model.init_), "init_",
    ),
    "boosting of three classes with the loss of two": (
        GradientBoostingClassifier(n_estimators=1), ROWS, THREE,
        put(_loss=GradientBoostingClassifier(n_estimators=1).fit(ROWS, TWO)._loss), "_loss",
    ),
    "boosting with a tree of other columns": (
        GradientBoostingRegressor(n_estimators=2), ROWS, NUMBERS, swap_trees(WIDE), "estimators_",
    ),
    "boosting with a tree of two answers": (
        GradientBoostingRegressor(n_estimators=2), ROWS, NUMBERS, swap_trees(BROAD), "estimators_",
    ),
    "boosting with vectors for a tree": (
        GradientBoostingRegressor(n_estimators=2), ROWS, NUMBERS,
        swap_trees(SVR().fit(ROWS, NUMBERS)), "estimators_",
    ),
    "a tree of 5 000 columns that says it has one": (
        DecisionTreeRegressor(max_depth=1), np.eye(60, 5000), NUMBERS,
        put(n_features_in_=1), "tree_",
    ),
    "a tree that does not say how many columns it has": (
        DecisionTreeClassifier(), ROWS, TWO, drop("n_features_in_"), "n_features_in_",
    ),
    "a forest of other columns": (
        RandomForestClassifier(2), ROWS, TWO, put(n_features_in_=1), "estimators_",
    ),
    "a forest with one tree of other columns": (
        ExtraTreesRegressor(2), ROWS, NUMBERS,
        lambda model: model.estimators_.append(WIDE), "estimators_",
    ),
    "an isolation forest with a tree of other columns": (
        IsolationForest(n_estimators=2), ROWS, TWO,
        at("estimators_.0", put(n_features_in_=1)), "tree_",
    ),
    "an isolation forest that looks at other columns": (
        IsolationForest(n_estimators=2), ROWS, TWO,
        put(estimators_features_=[np.array([0, 1, 10**6])] * 2), "estimators_features_",
    ),
    "bags that look at other columns": (
        BaggingClassifier(n_estimators=2), ROWS, TWO,
        put(estimators_features_=[np.array([-1, 1, 2])] * 2), "estimators_features_",
    ),
    "histograms that ask for another column": (
        HistGradientBoostingRegressor(max_iter=1), ROWS, NUMBERS,
        nodes(feature_idx=10**9), "_predictors",
    ),
    "histograms that ask for a column before the first": (
        HistGradientBoostingRegressor(max_iter=1), ROWS, NUMBERS,
        nodes(feature_idx=-(10**6)), "_predictors",
    ),
    "histograms with categories of a column that has none": (
        HistGradientBoostingClassifier(max_iter=1), ROWS, TWO,
        lambda model: (bits_of_eight(model), nodes(is_categorical=1)(model)), "_predictors",
    ),
    "histograms with narrow bits": (
        HistGradientBoostingClassifier(max_iter=1), ROWS, TWO, bits, "_predictors",
    ),
    "histograms that say they still train": (
        HistGradientBoostingClassifier(max_iter=1), ROWS, TWO, put(_in_fit=True), "_in_fit",
    ),
    "histograms with fewer kinds of columns": (
        HistGradientBoostingClassifier(max_iter=1), ROWS, TWO,
        swap_bins(is_categorical_=np.zeros(1, np.uint8)), "is_categorical_",
    ),
    "histograms with fewer thresholds": (
        HistGradientBoostingClassifier(max_iter=1), ROWS, TWO,
        swap_bins(bin_thresholds_=[]), "bin_thresholds_",
    ),
    "histograms with more trees than classes": (
        HistGradientBoostingClassifier(max_iter=1), ROWS, THREE,
        put(n_trees_per_iteration_=1), "_predictors",
    ),
    "histograms with their own preparation": (
        HistGradientBoostingClassifier(max_iter=1), ROWS, TWO,
        put(_preprocessor=OneHotEncoder()), "_preprocessor",
    ),
    "vectors of a kernel read past the row": (
        SVR(kernel="precomputed"), ROWS @ ROWS.T, NUMBERS,
        lambda model: model.support_.__setitem__(0, 10**6), "support_",
    ),
    "vectors of a kernel with a narrower shape": (
        SVR(kernel="precomputed"), ROWS @ ROWS.T, NUMBERS,
        put(shape_fit_=(1, 1), n_features_in_=1), "support_",
    ),
    "vectors of a kernel with another shape than its columns": (
        OneClassSVM(kernel="precomputed"), ROWS @ ROWS.T, TWO,
        put(shape_fit_=(1000, 1000)), "shape_fit_",
    ),
    "vectors of a called kernel with other rows": (
        SVC(kernel=RBF()), ROWS, TWO, put(_BaseLibSVM__Xfit=ROWS[:1]), "shape_fit_",
    ),
    "vectors of a called function that is no kernel": (
        SVC(kernel=RBF()), ROWS, TWO, put(kernel=pairwise_distances_argmin_min), "kernel",
    ),
    "vectors counted apart": (
        SVC(), ROWS, TWO,
        lambda model: put(
            _n_support=np.array([10**6, len(model.support_) - 10**6], np.int32))(model),
        "_n_support",
    ),
    "vectors counted too high": (
        NuSVR(), ROWS, NUMBERS, put(_n_support=np.array([10**6, 0], np.int32)), "_n_support",
    ),
    "vectors with more classes than counts": (
        SVC(), ROWS, THREE, put(classes_=np.arange(9)), "_n_support",
    ),
    "vectors with short weights": (
        NuSVC(nu=0.2), ROWS, THREE, put(_dual_coef_=np.zeros((1, 3))), "_dual_coef_",
    ),
    "vectors with too few intercepts": (
        SVC(), ROWS, THREE, put(_intercept_=np.zeros(1)), "_intercept_",
    ),
    "vectors with too few places": (
        SVC(), ROWS, THREE, put(support_=np.zeros(1, np.int32)), "_n_support",
    ),
    "vectors of fewer columns": (
        SVC(), ROWS, THREE,
        lambda model: put(support_vectors_=model.support_vectors_[:, :1].copy())(model),
        "support_vectors_",
    ),
    "vectors without any": (
        SVC(), ROWS, THREE, put(support_vectors_=np.empty((0, 0))), "support_vectors_",
    ),
    "vectors with short probabilities": (
        SVC(), ROWS, THREE, put(_probA=np.zeros(1), _probB=np.zeros(1)), "_probA",
    ),
    "vectors that pose as another machine": (
        SVR(), ROWS, NUMBERS, put(_impl="c_svc"), "_impl",
    ),
    "sparse vectors with short weights": (
        SVC(), SPARSE, THREE,
        lambda model: put(_dual_coef_=model._dual_coef_[:1])(model), "_dual_coef_",
    ),
    "sparse vectors with weights left out": (
        SVC(), SPARSE, THREE,
        lambda model: put(_dual_coef_=scipy.sparse.csr_matrix(model._dual_coef_.shape))(model),
        "_dual_coef_",
    ),
    "sparse vectors fewer than their weights": (
        SVR(), SPARSE, NUMBERS,
        lambda model: put(support_vectors_=model.support_vectors_[:1])(model), "support_vectors_",
    ),
    "vectors of a classifier without classes": (
        SVC(), ROWS, TWO,
        lambda model: (
            drop("classes_")(model),
            put(_n_support=np.full(2, len(model.support_), np.int32))(model),
        ),
        "classes_",
    ),
    "sparse vectors of a classifier without classes": (
        SVC(), SPARSE, TWO,
        lambda model: (
            drop("classes_")(model), put(_n_support=np.array([-7, 10**9], np.int32))(model),
        ),
        "classes_",
    ),
    "sparse vectors of a kernel": (
        SVR(), SPARSE, NUMBERS, put(kernel="precomputed"), "kernel",
    ),
    "dense vectors that say they are sparse": (
        SVR(), ROWS, NUMBERS, put(_sparse=True), "support_vectors_",
    ),
    "neighbours in a heap without places": (
        KNeighborsRegressor(algorithm="kd_tree"), ROWS, NUMBERS, put(n_neighbors=0), "n_neighbors",
    ),
    "neighbours with labels of no class": (
        KNeighborsClassifier(algorithm="brute"), ROWS, THREE,
        put(_y=np.full(60, 10**6)), "_y",
    ),
    "neighbours with too few labels": (
        KNeighborsClassifier(algorithm="brute"), ROWS, THREE, put(_y=np.zeros(1, int)), "_y",
    ),
    "neighbours in a radius with labels of no class": (
        RadiusNeighborsClassifier(), ROWS, THREE, put(_y=np.full(60, -5)), "_y",
    ),
    "neighbours that say there are more of them": (
        KNeighborsRegressor(algorithm="brute"), ROWS, NUMBERS,
        put(n_samples_fit_=10**6, n_neighbors=10**5), "_fit_X",
    ),
    "neighbours with norms of other rows": (
        NearestNeighbors(algorithm="brute"), ROWS, TWO,
        put(effective_metric_params_={"Y_norm_squared": np.zeros(1)}), "effective_metric_params_",
    ),
    "neighbours with a distance of their own": (
        LocalOutlierFactor(novelty=True, algorithm="brute"), ROWS, TWO,
        put(effective_metric_=DistanceMetric.get_metric("seuclidean", V=[1.0])),
        "effective_metric_",
    ),
    "neighbours with a tree of fewer rows": (
        KNeighborsClassifier(algorithm="kd_tree"), ROWS, TWO, put(_tree=KDTree(ROWS[:9])), "_tree",
    ),
    "means of fewer columns": (
        KMeans(2), ROWS, TWO, put(cluster_centers_=np.zeros((2, 1))), "cluster_centers_",
    ),
    "means of no columns said": (
        MiniBatchKMeans(2), ROWS, TWO, drop("n_features_in_"), "n_features_in_",
    ),
    "halves with a narrow centre": (
        BisectingKMeans(3), ROWS, TWO,
        at("_bisecting_tree.left", put(center=np.zeros(1))), "_bisecting_tree.center",
    ),
    "birch with too few norms": (
        Birch(), ROWS, TWO, put(_subcluster_norms=np.zeros(1)), "_subcluster_norms",
    ),
    "topics of fewer words": (
        LatentDirichletAllocation(2, max_iter=1), ROWS, TWO,
        put(exp_dirichlet_component_=np.zeros((2, 1))), "exp_dirichlet_component_",
    ),
    "factors of fewer columns": (
        NMF(2), ROWS, TWO, put(components_=np.zeros((2, 1))), "components_",
    ),
    "splines with too few coefficients": (
        SplineTransformer(), ROWS, TWO,
        at("bsplines_.0", lambda spline: put(_c=spline._c[:1])(spline)), "_c",
    ),
    "splines of a high degree": (
        SplineTransformer(), ROWS, TWO, at("bsplines_.0", put(k=10**6)), "k",
    ),
    "splines of a negative degree": (
        SplineTransformer(), ROWS, TWO, at("bsplines_.1", put(k=-1)), "k",
    ),
    "splines of fewer columns": (
        SplineTransformer(), ROWS, TWO, lambda model: model.bsplines_.pop(), "bsplines_",
    ),
    "words outside the columns": (CountVectorizer(), WORDS, None, remap(["one"]), "vocabulary_"),
    "words in a negative column": (
        TfidfVectorizer(), WORDS, None, put(vocabulary_={"one": -1}), "vocabulary_",
    ),
    "names outside the columns": (
        DictVectorizer(), [{"one": 1}], None, remap(["one"]), "vocabulary_",
    ),
    "hashes into no columns": (
        FeatureHasher(), [{"one": 1}], None, put(n_features=0), "n_features",
    ),
    "hashed words into no columns": (
        HashingVectorizer(), WORDS, None, put(n_features=0), "n_features",
    ),
    "codes of fewer columns": (
        OneHotEncoder(), CODES, None, put(_n_features_outs=[1, 1]), "_n_features_outs",
    ),
    "codes of categories without order": (
        OneHotEncoder(), CODES, None,
        put(categories_=[np.array([2, 1, 0]), np.array([0, 1])]), "categories_",
    ),
    "codes of categories that have no order": (
        OneHotEncoder(), CODES, None,
        put(categories_=[np.array([2, 1, 0], complex), np.array([0, 1])]), "categories_",
    ),
    "more terms than are written": (
        PolynomialFeatures(), ROWS, None, put(_n_out_full=5000), "_n_out_full",
    ),
    "terms of a lower degree": (
        PolynomialFeatures(3), ROWS, None, put(_max_degree=1), "_n_out_full",
    ),
    "terms without end to count": (
        PolynomialFeatures(), ROWS, None, put(_max_degree=2**31 - 1), "_max_degree",
    ),
    "fewer encodings than columns": (
        TargetEncoder(), CODES, NUMBERS, put(encodings_=[]), "encodings_",
    ),
    "fewer encodings than columns and classes": (
        TargetEncoder(), CODES, THREE,
        lambda model: model.encodings_.pop(), "encodings_",
    ),
    "codes that map outside": (
        OneHotEncoder(max_categories=2), CODES, None,
        put(_default_to_infrequent_mappings=[np.array([10**6, 0, 0]), None]),
        "_default_to_infrequent_mappings",
    ),
    "codes that drop what is not there": (
        OneHotEncoder(drop="first"), CODES, None,
        put(_drop_idx_after_grouping=np.array([-1, 7], object)), "_drop_idx_after_grouping",
    ),
    "bins of fewer columns": (
        KBinsDiscretizer(3), ROWS, None,
        at("_encoder", put(_n_features_outs=[1, 1, 1])), "_n_features_outs",
    ),
}  # fmt: skip


@pytest.fixture
def nothing_runs(monkeypatch):
    """Return a function after which asking anything of a model's class fails the test."""

    def watch(model):
        for name in ASKED:
            if hasattr(type(model), name):
                monkeypatch.setattr(
                    type(model), name, lambda *_, **__: pytest.fail("the model was asked")
                )

    return watch


@pytest.mark.parametrize("case", ATTACKS)
@pytest.mark.filterwarnings("ignore")
def test_a_tampered_model_is_refused_before_it_is_asked(case, nothing_runs):
    model, rows, answers, change, named = ATTACKS[case]
    model.fit(rows, answers)
    if case != "boosting by a first guess of any shape":
        load(model)  # as it was trained it is accepted
    change(model)
    nothing_runs(model)

    with pytest.raises(ModelRefused, match=rf"\.{named} ") as refused:
        load(model)
    assert refused.value.check == "format"


@pytest.mark.parametrize("case", ["boosting writes past its columns", "vectors counted apart"])
def test_a_tampered_model_is_found_inside_others(case, nothing_runs):
    model, rows, answers, change, named = ATTACKS[case]
    line = make_pipeline(SplineTransformer(), model).fit(rows, answers)
    change(line[-1])
    nothing_runs(line)

    with pytest.raises(ModelRefused, match=named):
        load({"models": [line]})


# --- Compiled objects and sparse matrices -----------------------------------------------------


def tree_with(original, **changed):
    """Return a tree of neighbours that keeps something else than it was made with."""
    names = ("data", "order", "nodes", "bounds")
    state = list(original.__getstate__())
    for name, value in changed.items():
        state[11 if name == "metric" else names.index(name)] = value
    made = type(original).__new__(type(original))
    made.__setstate__(tuple(state))
    return made


@pytest.mark.parametrize("tree", [
    tree_with(KDTree(ROWS), bounds=np.zeros((1, 1, 3))),
    tree_with(BallTree(ROWS), bounds=np.zeros((0, 1, 3))),
    tree_with(BallTree(ROWS), metric=DistanceMetric.get_metric("seuclidean", V=[1.0])),
    tree_with(BallTree(ROWS), metric=DistanceMetric.get_metric("mahalanobis", VI=np.eye(1))),
    tree_with(KDTree(ROWS), metric=DistanceMetric.get_metric("minkowski", p=3, w=[1.0])),
    tree_with(BallTree(ROWS[:, :1].copy()), metric=DistanceMetric.get_metric("haversine")),
], ids=["bounds", "centres", "variances", "covariances", "weights", "haversine"])  # fmt: skip
def test_a_tree_of_neighbours_is_held_to_its_distance_and_bounds(tree, monkeypatch):
    monkeypatch.setattr(KernelDensity, "score_samples", lambda *_: pytest.fail("it was asked"))
    model = KernelDensity().fit(ROWS)
    model.tree_ = tree
    with pytest.raises(ModelRefused, match="a tree of neighbours"):
        load(model)


@pytest.mark.parametrize("metric", [
    DistanceMetric.get_metric("seuclidean", V=[1.0, 2.0, 3.0]),
    DistanceMetric.get_metric("mahalanobis", VI=np.eye(3)),
    DistanceMetric.get_metric("minkowski", p=3, w=[1.0, 2.0, 3.0]),
    DistanceMetric.get_metric("canberra"),
], ids=["variances", "covariances", "weights", "none"])  # fmt: skip
def test_an_honest_tree_of_neighbours_loads(metric):
    tree = BallTree(ROWS, metric=metric)
    np.testing.assert_array_equal(load(tree).query(ROWS[:5])[1], tree.query(ROWS[:5])[1])


class _Deep:
    """Pickles a decision tree with another state than its own."""

    def __init__(self, tree, **changed):
        self.tree, self.changed = tree, changed

    def __reduce__(self):
        kind, arguments, state = self.tree.__reduce__()
        return kind, arguments, {**state, **self.changed}


def test_a_tree_is_held_to_the_depth_it_claims():
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(ROWS, TWO)
    assert load(model).get_depth() == 3
    model.tree_ = _Deep(model.tree_, max_depth=0)
    with pytest.raises(ModelRefused, match="a decision tree"):
        load(model)


def test_a_node_has_one_parent():
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(ROWS, TWO)
    nodes = model.tree_.__getstate__()["nodes"].copy()
    nodes["right_child"][0] = nodes["left_child"][0]
    model.tree_ = _Deep(model.tree_, nodes=nodes)
    with pytest.raises(ModelRefused, match="a decision tree"):
        load(model)


@pytest.mark.parametrize(
    "change",
    [
        put(indices=np.array([10**6, 0, 1], np.int32)),
        put(indices=np.array([-1, 0, 1], np.int32)),
        put(indptr=np.array([0, 10**6], np.int32)),
        put(indptr=np.array([0, 2, 1, 3], np.int32)),
        put(data=np.ones(1)),
        put(_shape=(1, 1)),
        put(_shape=(1000, 3), indptr=np.array([0, 3], np.int32)),
        # It would be checked as what it says it is, and used as what it is.
        put(_format="coo", coords=(np.zeros(3, np.int32),) * 2, indptr=np.array([0, 10**6])),
    ],
    ids=[
        "far",
        "before",
        "short starts",
        "falling starts",
        "short data",
        "small",
        "high",
        "posing",
    ],
)
@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_a_sparse_matrix_is_held_to_its_shape(kind, change, monkeypatch):
    monkeypatch.setattr(LogisticRegression, "predict", lambda *_: pytest.fail("it was asked"))
    model = LogisticRegression().fit(ROWS, THREE)
    model.coef_ = getattr(scipy.sparse, kind)(np.eye(3))
    assert load(model).coef_.shape == (3, 3)
    change(model.coef_)
    with pytest.raises(ModelRefused, match="a sparse matrix"):
        load(model)


# --- Honest models ----------------------------------------------------------------------------

HONEST = {
    "boosting from nothing": (GradientBoostingClassifier(n_estimators=2, init="zero"), ROWS, THREE),
    "boosting from a constant": (
        GradientBoostingClassifier(n_estimators=2, init=DummyClassifier(strategy="uniform")),
        ROWS, TWO,
    ),
    "boosting of sparse rows": (GradientBoostingClassifier(n_estimators=2), SPARSE, THREE),
    "sparse vectors": (SVC(), SPARSE, THREE),
    "sparse vectors for numbers": (SVR(), SPARSE, NUMBERS),
    "sparse vectors of one class": (OneClassSVM(), SPARSE, None),
    "vectors by chance": (NuSVC(nu=0.2, kernel="poly"), ROWS, THREE),
    "vectors of a kernel": (SVC(kernel="precomputed"), ROWS @ ROWS.T, THREE),
    "vectors of a called kernel": (SVC(kernel=RBF()), ROWS, THREE),
    "neighbours of several answers": (KNeighborsClassifier(), ROWS, np.c_[TWO, THREE]),
    "neighbours of sparse rows": (KNeighborsClassifier(), SPARSE, TWO),
    "neighbours in a radius": (RadiusNeighborsClassifier(outlier_label=7), ROWS, THREE),
    "bags of some columns": (BaggingClassifier(n_estimators=3, max_features=2), ROWS, TWO),
    "isolation by some columns": (IsolationForest(n_estimators=3, max_features=2), ROWS, None),
    "a pruned tree": (DecisionTreeClassifier(ccp_alpha=0.01), ROWS, THREE),
    "a tree of best leaves": (DecisionTreeClassifier(max_leaf_nodes=6), ROWS, THREE),
    "periodic splines": (SplineTransformer(extrapolation="periodic"), ROWS, None),
    "sparse splines": (SplineTransformer(sparse_output=True), ROWS, None),
    "codes but the first": (OneHotEncoder(drop="first", max_categories=2), CODES, None),
    "codes of two": (OneHotEncoder(drop="if_binary"), CODES, None),
    "codes of what is missing": (OneHotEncoder(), np.array([[1.0], [np.nan], [0.5]]), None),
    "terms": (PolynomialFeatures(3, include_bias=False), ROWS, None),
    "terms of different columns": (PolynomialFeatures((2, 3), interaction_only=True), ROWS, None),
    "terms of no degree": (PolynomialFeatures(0), ROWS, None),
    "encodings of classes": (TargetEncoder(), CODES, THREE),
    "encodings of numbers": (TargetEncoder(), CODES, NUMBERS),
    "names": (DictVectorizer(), [{"one": 1, "two": "x"}], None),
    "halves": (BisectingKMeans(4), ROWS, None),
}  # fmt: skip


@pytest.mark.parametrize("case", HONEST)
@pytest.mark.filterwarnings("ignore")
def test_an_honest_model_of_each_family_is_accepted(case):
    model, rows, answers = HONEST[case]
    model.fit(rows, answers)
    ours = load(model)
    ask = "predict" if hasattr(model, "predict") else "transform"
    theirs, answer = getattr(model, ask)(rows), getattr(ours, ask)(rows)
    if scipy.sparse.issparse(theirs):
        theirs, answer = theirs.toarray(), answer.toarray()
    np.testing.assert_array_equal(answer, theirs)


@pytest.mark.parametrize("kind", [SVR, NuSVR, OneClassSVM])
def test_numbers_that_sparse_vectors_leave_unset_may_be_anything(kind):
    model = kind().fit(SPARSE, NUMBERS)
    expected = model.predict(SPARSE)
    # scikit-learn takes these two from memory as it finds it, and never uses them.
    model._n_support = np.array([-7, 10**9], np.int32)

    np.testing.assert_array_equal(load(model).predict(SPARSE), expected)


@pytest.mark.filterwarnings("ignore")
def test_every_estimator_that_learns_from_a_plain_table_is_accepted():
    refused, accepted = {}, 0
    for name, kind in all_estimators():
        for answers in (TWO, THREE, NUMBERS):
            try:
                model = kind().fit(ROWS, answers)
            except (TypeError, ValueError, AttributeError):  # it takes something else
                continue
            accepted += 1
            try:
                load(model)
            except ModelRefused as error:
                if "is not allowed" not in str(error):
                    refused[name] = str(error)

    assert accepted > 200
    assert refused == {}
