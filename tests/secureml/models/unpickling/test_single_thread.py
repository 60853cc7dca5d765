from __future__ import annotations

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.utils import all_estimators

from secureml.models.unpickling.single_thread import use_one_thread

ROWS = np.random.default_rng(0).normal(size=(60, 2))


@pytest.mark.parametrize("kind", [KMeans, BisectingKMeans, MiniBatchKMeans])
def test_a_clusterers_own_number_of_threads_is_one(kind):
    model = kind(2, n_init=1).fit(ROWS)
    model._n_threads = 30_000
    expected = model.predict(ROWS[:5]) if kind is not KMeans else None
    use_one_thread(model)

    assert model._n_threads == 1
    assert expected is None or (model.predict(ROWS[:5]) == expected).all()


def test_the_binning_of_a_boosted_model_takes_one_thread():
    model = HistGradientBoostingClassifier(max_iter=2).fit(ROWS, ROWS[:, 0] > 0)
    model._bin_mapper.n_threads = 30_000
    use_one_thread(model)

    assert model._bin_mapper.n_threads == 1


@pytest.mark.parametrize("kept", ["metric_params", "kernel_params", "kw_args", "any_kwargs"])
def test_a_number_of_jobs_among_arguments_is_one(kept):
    model = KNeighborsRegressor()
    setattr(model, kept, {"n_jobs": 300, "gamma": 2.0})
    use_one_thread(SimpleNamespace(inner=[model]))

    assert getattr(model, kept) == {"n_jobs": 1, "gamma": 2.0}


def test_a_word_of_a_vocabulary_keeps_its_column():
    model = CountVectorizer(token_pattern=r"\w+").fit(["set n_jobs here", "n_threads memory"])
    before = dict(model.vocabulary_)
    use_one_thread(model)

    assert model.vocabulary_ == before


def test_no_model_keeps_a_folder_for_a_cache(tmp_path):
    folder = str(tmp_path / "cache")
    kinds = [
        kind
        for _, kind in all_estimators()
        if "memory" in inspect.signature(kind.__init__).parameters and kind.__name__ != "Pipeline"
    ]
    models = [kind(memory=folder) for kind in kinds]
    models.append(make_pipeline(LogisticRegression(), memory=folder))
    use_one_thread(models)

    assert len(models) >= 4
    assert [model.memory for model in models] == [None] * len(models)


def test_what_says_nothing_of_threads_goes_on_saying_nothing():
    model = KNeighborsRegressor()
    use_one_thread(model)

    assert model.n_jobs is None
