"""Numbers of a fitted estimator that its compiled code trusts, held to each other.

scikit-learn checks the rows it is given, but takes its own fitted attributes as it left them.
Compiled loops then use them as lengths and places, with no bounds: a file that changed one of
them reads, or writes, the memory of the process. So each family below is checked once, when
all of a file has been read and before anything of it is called.

Found by going through every ``.pyx`` of scikit-learn 1.9.1 from ``predict``, ``transform``,
``decision_function`` and their like, and through the sparse matrices that Python code builds
out of fitted numbers, because SciPy's loops trust a matrix once it stands:

====================================  =======================================================
Compiled code                         What reaches it unchecked
====================================  =======================================================
tree/_tree: apply, decision_path      ``tree_``: its columns; its depth (``compiled_objects``)
ensemble/_gradient_boosting           shape of ``estimators_``, every ``tree_``, ``init_``
ensemble/_hist_gradient_boosting      ``_predictors``, their nodes and bitsets, ``_bin_mapper``
svm/_libsvm, svm/_libsvm_sparse       all that ``BaseLibSVM`` hands over
neighbors/_kd_tree, _ball_tree        bounds, data, the distance's vector and matrix
metrics/_pairwise_distances_reduction ``_y``, ``n_samples_fit_``, ``*_norm_squared``; Birch's
                                      ``_subcluster_norms``
cluster/_k_means_*                    ``cluster_centers_``, centres in ``_bisecting_tree``
decomposition/_online_lda_fast        ``exp_dirichlet_component_``
decomposition/_cdnmf_fast             ``components_``
scipy interpolate/_dierckx            a spline's ``t``, ``c``, ``k``
scipy sparse/_sparsetools             sparse matrices (``compiled_objects``); ``vocabulary_``;
                                      ``categories_`` and ``_n_features_outs``; ``n_features``;
                                      what members of ``OneVsRestClassifier`` answer, which no
                                      file tells (``sparse_parts.check_each_sparse_matrix``)
numpy empty                           ``_n_out_full`` of polynomials; ``encodings_`` of targets:
                                      what is not filled is memory as it was found
====================================  =======================================================

As far as the Python that calls them shows, the other compiled modules are used in ``fit`` only, or
are given arrays that Python code has just built or checked; their own source was not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from secureml.models.unpickling import (
    matrix_consistency,
    table_consistency,
    tree_consistency,
    vector_consistency,
)
from secureml.models.unpickling.callable_attributes import ancestors
from secureml.models.unpickling.fitted_numbers import Fitted
from secureml.models.unpickling.graph import attributes_of

_FAMILIES: tuple[tuple[str, Callable[[Fitted], None]], ...] = (
    ("sklearn.tree._classes.BaseDecisionTree", tree_consistency.check_tree_owner),
    ("sklearn.ensemble._forest.BaseForest", tree_consistency.check_forest),
    ("sklearn.ensemble._bagging.BaseBagging", tree_consistency.check_bagging),
    ("sklearn.ensemble._gb.BaseGradientBoosting", tree_consistency.check_boosting),
    (
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.BaseHistGradientBoosting",
        tree_consistency.check_histograms,
    ),
    ("sklearn.svm._base.BaseLibSVM", vector_consistency.check_vectors),
    ("sklearn.svm._base.BaseSVC", vector_consistency.check_classes),
    ("sklearn.neighbors._base.NeighborsBase", table_consistency.check_neighbours),
    ("sklearn.neighbors._classification.KNeighborsClassifier", table_consistency.check_voters),
    ("sklearn.neighbors._classification.RadiusNeighborsClassifier", table_consistency.check_voters),
    ("sklearn.cluster._kmeans._BaseKMeans", table_consistency.check_means),
    ("sklearn.cluster._bisect_k_means.BisectingKMeans", table_consistency.check_bisected),
    ("sklearn.cluster._birch.Birch", table_consistency.check_birch),
    ("sklearn.decomposition._lda.LatentDirichletAllocation", table_consistency.check_topics),
    ("sklearn.decomposition._nmf._BaseNMF", table_consistency.check_factors),
    ("sklearn.preprocessing._polynomial.SplineTransformer", table_consistency.check_splines),
    ("sklearn.preprocessing._polynomial.PolynomialFeatures", table_consistency.check_polynomials),
    ("sklearn.preprocessing._target_encoder.TargetEncoder", table_consistency.check_targets),
    ("scipy.interpolate._bsplines.BSpline", table_consistency.check_spline),
    ("sklearn.feature_extraction.text.CountVectorizer", matrix_consistency.check_vocabulary),
    (
        "sklearn.feature_extraction._dict_vectorizer.DictVectorizer",
        matrix_consistency.check_vocabulary,
    ),
    ("sklearn.feature_extraction._hash.FeatureHasher", matrix_consistency.check_hashing),
    ("sklearn.feature_extraction.text.HashingVectorizer", matrix_consistency.check_hashing),
    ("sklearn.preprocessing._encoders.OneHotEncoder", matrix_consistency.check_one_hot),
)


def check_consistency(thing: Any) -> None:
    """Refuse an object whose numbers do not fit each other; raises ModelRefused("format").

    For an estimator or another object of a granted class, with all its state; calls nothing of it.
    """
    kinds = ancestors(type(thing))
    fitted = Fitted(type(thing).__name__, attributes_of(thing))
    for family, check in _FAMILIES:
        if family in kinds:
            check(fitted)
