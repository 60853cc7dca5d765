"""What to do about names a model file asks for: all of them at once, with the way that works.

A name that can never be allowed needs another model, not another setting; a name of an old
library needs another file. Whoever is told to "add it to allow" for these is sent in a circle.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import sklearn

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import never
from secureml.models.unpickling.module_search import first_absent, how_to_find
from secureml.models.unpickling.requested_names import Location, Requested

_SHOWN = 12
_PARTIAL = "functools.partial"
_OLD_NUMPY = "numpy.core."  # `numpy._core` since NumPy 2
_OLDEST = (1, 7)  # of scikit-learn, that SecureML runs with


class _Way(NamedTuple):
    """Names of one kind, why they are never allowed, and what to change in the model."""

    fits: Callable[[str], bool]
    why: str
    fix: str


def _begins(*prefixes: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(prefixes)


_INNER = _Way(
    lambda name: True,
    "it lies inside a class",
    "define it at the top of its module, and train and write the model again",
)
_MODULE = "ourfeatures"
_MOVED = (
    f"move {{what}} into a module of its own (a file such as {_MODULE}.py), write `from {_MODULE} "
    "import {first}` in the notebook or script, train and write the model again; then {allow}, "
    "with that module on the path of this command and of the server (PYTHONPATH=/path/to/folder)"
)
_OF_A_SCRIPT = _Way(
    _begins("__main__.", "__mp_main__."),
    "it was defined in the script or notebook that trained the model, where no server finds it",
    _MOVED,
)
_BY_VALUE = _Way(
    _begins("cloudpickle.", "dill."),
    "cloudpickle or dill has put the code of a function or class into the file",
    _MOVED,
)
_WAYS = (
    _OF_A_SCRIPT,
    _BY_VALUE,
    _Way(
        _begins("joblib.memory.", "joblib._store_backends.", "joblib.logger."),
        "the pipeline has a cache, which opens files",
        "take it off before writing the model: pipeline.set_params(memory=None)",
    ),
    _Way(
        _begins("functools."),
        "it calls whatever function it holds",
        "write a `def` in a module that does the same",
    ),
    _Way(
        _begins("operator.", "builtins.getattr", "__builtin__.", "types.", "copyreg.", "copy_reg."),
        "it reaches any attribute, or makes code",
        "use a `def` in a module in place of bound methods, operator functions and lambdas",
    ),
    _Way(
        _begins("scipy.stats."),
        "SciPy's distributions run text that they hold",
        "seal what the search has found: joblib.dump(search.best_estimator_, file)",
    ),
    _Way(
        _begins("torch.", "numba.", "numexpr."),
        "it loads or compiles code",
        "seal a model that scikit-learn computes by itself",
    ),
    _Way(
        lambda name: True,
        "it can run anything",
        "do not use the file if you do not know why it asks for that; else take what holds it out "
        "of the model, or write a `def` in a module that does the same",
    ),
)


def check_requested(
    requested: Requested,
    allowed: Iterable[str],
    extra: frozenset[str],
    settings_file: str = "",
    findable: frozenset[str] = frozenset(),
) -> None:
    """Refuse a file that asks for what is not allowed, naming everything at once.

    ``extra`` is the operator's own list; ``settings_file`` where it stands, "" where there is
    none and ``--allow`` is the place; ``findable`` are modules that are here, though this process
    may not read them. Raises ModelRefused("versions" or "globals").
    """
    known = frozenset(allowed)
    missing = [name for name in requested.names if name not in known]
    _check_age(requested, missing)
    if not missing:
        return
    kinds: dict[_Way, list[str]] = {}
    for name in missing:
        if name in requested.inner or never(name):
            kinds.setdefault(_fix(name, requested), []).append(name)
    hopeless = {name for names in kinds.values() for name in names}
    allowable = [name for name in missing if name not in hopeless]
    groups = [
        f"{_placed(names, requested)}, which can never be allowed ({way.why})"
        for way, names in kinds.items()
    ]
    # A line of settings has what stood there before.
    beside = frozenset({*extra, *allowable} if settings_file else ())
    fixes = [_way_out(way, names, beside, settings_file) for way, names in kinds.items()]
    absent = absent_modules(allowable, findable)
    here = [name for name in allowable if name not in absent]
    if absent:
        groups.append(_not_found(absent))
    if here:
        groups.append(f"{_listed(here)}, which {_is_or_are(here)} not allowed yet")
    if allowable:
        fixes.append(how_to_allow(allowable, extra, settings_file, findable))
    raise ModelRefused(
        "globals", f"the model file asks for {'; and for '.join(groups)}", "; and ".join(fixes)
    )


def _fix(name: str, requested: Requested) -> _Way:
    if name in requested.inner:
        return _INNER
    way = next(way for way in _WAYS if way.fits(name))
    if name != _PARTIAL or not requested.indices.get(name):
        return way
    return way._replace(fix="; ".join(dict.fromkeys(map(_without, requested.indices[name]))))


def _way_out(way: _Way, names: list[str], beside: frozenset[str], settings_file: str) -> str:
    """Return what to do, with the names as they will be where code is to be moved."""
    if way.fix is not _MOVED:
        return way.fix
    own = [name.rpartition(".")[2] for name in names] if way is _OF_A_SCRIPT else ["NAME"]
    what = _listed(own) if way is _OF_A_SCRIPT else "lambdas, functions and classes of your own"
    moved = [f"{_MODULE}.{name}" for name in own]
    return way.fix.format(
        what=what,
        first=", ".join(own[:_SHOWN]),
        allow=where_to_allow(moved, settings_file, beside),
    )


def _without(place: Location) -> str:
    """Return how to do without a partial, by who put it there and where."""
    if place.holds.startswith("sklearn."):
        return (
            "HistGradientBoosting with categorical columns makes it: encode them in a step before "
            "it (OrdinalEncoder) and give it categorical_features=None"
        )
    if place.where in ("FunctionTransformer.func", "FunctionTransformer.inverse_func"):
        kind = "inv_kw_args" if "inverse" in place.where else "kw_args"
        return f"write FunctionTransformer(f, {kind}={{...}}) in place of partial(f, ...)"
    return "write a `def` in a module that does the same"


def _placed(names: list[str], requested: Requested) -> str:
    """List names, each with where in the model it stands, as far as that is known."""
    groups = []
    for name in names[:_SHOWN]:
        indices = dict.fromkeys(place.where for place in requested.indices.get(name, ()))
        groups.append(f"{name} at {' and '.join(indices)}" if indices else name)
    return ", ".join(groups) + _and_more(names)


def _not_found(absent: Mapping[str, str]) -> str:
    modules = list(dict.fromkeys(absent.values()))
    names, where = _listed(list(absent)), _listed(modules)
    return f"{names}, which cannot be loaded: Python finds no module {where} here"


def absent_modules(names: Iterable[str], findable: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return, of the names whose module Python does not find here, each with that module."""
    found = {name: first_absent(name.rpartition(".")[0]) for name in names}
    return {name: module for name, module in found.items() if module and module not in findable}


def how_to_allow(
    names: list[str],
    extra: Iterable[str],
    settings_file: str = "",
    findable: frozenset[str] = frozenset(),
) -> str:
    """Return all that is to be done until these names can be loaded, in its order.

    What makes them findable comes first: with that left out, the start would refuse the setting.
    """
    absent = absent_modules(names, findable)
    first = f"{how_to_find(absent.values())}; then, " if absent else ""
    if settings_file:
        line = where_to_allow(names, settings_file, extra)
    else:
        line = where_to_allow({*extra, *names})
    return f"{first}if you know and trust {_listed(names)}, {line}"


def where_to_allow(
    names: Iterable[str], settings_file: str = "", beside: Iterable[str] = ()
) -> str:
    """Return what to do so that names are allowed, at the place where the start reads it.

    ``beside`` are names that stand there already, for the whole line.
    """
    ordered = sorted(names)
    if not settings_file:
        return "seal with " + " ".join(f"--allow {name}" for name in ordered)
    line = ", ".join(f'"{name}"' for name in sorted({*ordered, *beside}))
    return (
        f"run `secureml models allow {' '.join(ordered)}`, or write into [models] of "
        f"{settings_file}: allow = [{line}]"
    )


def _check_age(requested: Requested, missing: list[str]) -> None:
    here = str(sklearn.__version__)
    made = []
    if requested.sklearn and requested.sklearn != here:
        made.append(f"scikit-learn {requested.sklearn}")
    elif any(_is_gone(name) for name in missing):
        made.append("an old scikit-learn")
    if any(name.startswith(_OLD_NUMPY) for name in missing):
        made.append("NumPy 1")
    if not made:
        return
    fix = "train the model again in this environment and write it with joblib.dump"
    if _runs_with(requested.sklearn):
        fix += f"; or seal and serve it in an environment with scikit-learn=={requested.sklearn}"
    raise ModelRefused(
        "versions",
        f"the file was made with {' and '.join(made)}; here are scikit-learn {here} and NumPy "
        f"{np.__version__}, which may answer otherwise",
        fix,
    )


def _is_gone(name: str) -> bool:
    """Return whether a name is of a scikit-learn that this one is not."""
    module, _, attribute = name.rpartition(".")
    if not name.startswith("sklearn."):
        return False
    loaded = sys.modules.get(module)
    if loaded is not None:
        return not hasattr(loaded, attribute)
    try:
        return importlib.util.find_spec(module) is None
    except (ImportError, ValueError):
        return True


def _runs_with(version: str) -> bool:
    parts = version.split(".")[:2]
    return all(map(str.isdecimal, parts)) and tuple(map(int, parts)) >= _OLDEST


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + _and_more(names)


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""


def _is_or_are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
