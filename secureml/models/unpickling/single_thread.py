"""A loaded model works in the thread that asks it: no pool, no child process, no cache folder.

Workers give the parallelism; starting threads for one row costs three to six times the answer.
Above all, joblib starts a child as ``python -m``, which by default imports from the folder it
is started in before any other; and a number of threads in a file is a number its maker chose.
"""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

from secureml.models.unpickling.callable_attributes import ancestors
from secureml.models.unpickling.graph import ARGUMENTS, MAPPINGS, edges

# What scikit-learn keeps a number of threads in: OpenMP takes the last two at their word.
_COUNTS = ("n_jobs", "n_threads", "_n_threads")
# What keeps a cache on disk while it is fitted. Served it is never fitted again.
_CACHES = frozenset(
    {
        "sklearn.cluster._agglomerative.AgglomerativeClustering",
        "sklearn.cluster._optics.OPTICS",
        "sklearn.pipeline.Pipeline",
    }
)


def run_jobs_in_turn() -> None:
    """Have joblib run every job of this process one after the other, whatever is asked of it.

    For the whole process, not per request and not per thread: ``parallel_config`` would hold
    for one thread, and for calls that name no backend of their own.
    """
    # Here, so that what only reads the data form of a model imports no joblib by itself.
    from joblib import parallel, register_parallel_backend  # noqa: PLC0415

    in_turn = parallel.BACKENDS["sequential"]
    for name in [*parallel.BACKENDS, "sequential"]:
        register_parallel_backend(name, in_turn, make_default=True)


def use_one_thread(estimator: Any) -> None:
    """Set every number of threads inside an estimator to one, and forget its cache folders.

    Whatever else it starts jobs by, joblib runs them in turn from now on.
    """
    run_jobs_in_turn()
    # Inside plain objects too: a calibrated forest would start threads for each request.
    for _, attribute, value in edges(estimator):
        kind = type(value)
        if kind in MAPPINGS and attribute.rstrip("_").endswith(ARGUMENTS):
            if value.get("n_jobs") is not None:
                dict.__setitem__(value, "n_jobs", 1)
        elif issubclass(kind, BaseEstimator):
            _use_one_thread(value)


def _use_one_thread(part: BaseEstimator) -> None:
    state = vars(part)
    for count in _COUNTS:
        if state.get(count) is not None:
            state[count] = 1
    if state.get("memory") is not None and not _CACHES.isdisjoint(ancestors(type(part))):
        state["memory"] = None
