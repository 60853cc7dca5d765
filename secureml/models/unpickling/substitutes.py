"""What stands for a name that a model file asks for and must not get.

NumPy's own are narrowed. Two more are needed for honest models of scikit-learn and could do
anything: a ``functools.partial`` calls what it holds, and distributions of SciPy run text that
they hold. The first stands for the one partial that scikit-learn keeps; the others for nothing
that can be asked, because a search that is fitted never draws from them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling import numpy_values
from secureml.models.unpickling.function_values import boosting_check, is_boosting_check
from secureml.models.unpickling.numpy_values import Draft

_DISTRIBUTIONS = ("scipy.stats._continuous_distns.", "scipy.stats._discrete_distns.")
_SEARCHES = frozenset(
    {
        "sklearn.model_selection._search.RandomizedSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    }
)
_PARTIAL, _CHECK = "functools.partial", "sklearn.utils.validation.check_array"
_GETATTR = "builtins.getattr"
_ENCODE = "_codecs.encode"  # how protocols before 3 write bytes


class LeftBehind:
    """A distribution that parameters were drawn from while a search was fitted: inert data."""


class CheckArray:
    """The function of scikit-learn that checks an array, which the one partial holds."""


class PartialDraft(Draft):
    """A partial of which only the function is known."""

    def finish(self, state: Any) -> partial[Any]:
        """Return scikit-learn's check of numeric columns; raises ModelRefused for another."""
        if type(state) is tuple and len(state) == 4 and state[0] is CheckArray:
            made = boosting_check()
            words = state[2] if type(state[2]) is dict else {}
            same = partial(made.func, **{key: words[key] for key in words if type(key) is str})
            if state[1] == () and state[3] is None and is_boosting_check(same):
                return made
        raise _refuse()


def _make_partial(*arguments: Any) -> PartialDraft:
    if len(arguments) != 1 or arguments[0] is not CheckArray:
        raise _refuse()
    return PartialDraft()


def _make_method(*arguments: Any) -> LeftBehind:
    """Return what stands for a method of a distribution, which a discrete one keeps."""
    if len(arguments) == 2 and type(arguments[0]) is LeftBehind and type(arguments[1]) is str:
        return LeftBehind()
    raise ModelRefused(
        "globals",
        "the model file asks for builtins.getattr, which reaches into whatever it is given",
        "train the model without what keeps a bound method, and write it again",
    )


def _make_bytes(*arguments: Any) -> bytes:
    """Return the bytes that a pickle of protocol 2 writes as text; raises ModelRefused."""
    if len(arguments) == 2 and type(arguments[0]) is str and arguments[1] == "latin1":
        return arguments[0].encode("latin-1")
    raise ModelRefused(
        "globals",
        "the model file asks for _codecs.encode, which looks up whatever codec it is given",
        "write the model again with joblib.dump",
    )


def _refuse() -> ModelRefused:
    return ModelRefused(
        "globals",
        "the model file asks for functools.partial, which calls whatever function it holds",
        "write a `def` in a module that does the same, add its name to allow, and train the model "
        "again",
    )


SUBSTITUTES: dict[str, Any] = {
    **numpy_values.SUBSTITUTES,
    _PARTIAL: _make_partial,
    _CHECK: CheckArray,
    "scipy.stats._distn_infrastructure.rv_continuous_frozen": LeftBehind,
    "scipy.stats._distn_infrastructure.rv_discrete_frozen": LeftBehind,
    "numpy.vectorize": LeftBehind,  # a discrete one keeps two of its methods in it
    _GETATTR: _make_method,
    _ENCODE: _make_bytes,
}
# What of these may be called; the others only name a kind.
CALLS: dict[str, Callable[..., Any]] = {
    **numpy_values.CALLS,
    _PARTIAL: _make_partial,
    _GETATTR: _make_method,
    _ENCODE: _make_bytes,
}


def expected(names: Collection[str]) -> frozenset[str]:
    """Return those of the names that a file which asks for all of them may have a stand-in for.

    The partial belongs to its function, and distributions to a search. By themselves they are what
    they seem, and are refused as that, with the place where they stand.
    """
    found = {_PARTIAL, _CHECK} if {_PARTIAL, _CHECK} <= set(names) else set()
    if _SEARCHES.intersection(names):
        found |= {name for name in names if substitute(name) in (LeftBehind, _make_method)}
    if _ENCODE in names:
        found.add(_ENCODE)
    return frozenset(found)


def substitute(name: str) -> Any:
    """Return what stands for a name; None where it stands for itself."""
    found = SUBSTITUTES.get(name)
    if found is None and name.startswith(_DISTRIBUTIONS) and name.endswith("_gen"):
        return LeftBehind
    return found
