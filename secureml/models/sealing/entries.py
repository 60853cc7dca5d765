"""Which of the objects of a model file is sealed, where they are in a dictionary or a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secureml.models.artifact.version_files import ModelRefused

OPTION = "--entry"
_SHOWN, _LONGEST = 10, 40
_CALLS = ("predict", "transform", "score_samples")


def chosen(held: Any, entry: str) -> Any:
    """Return the estimator that is to be sealed; raises ModelRefused where it is not clear which.

    ``held`` is what the file holds, ``entry`` the key or place that was named, "" for none.
    """
    entries = _entries(held)
    if entries is None:
        if entry:
            raise _refuse(
                f"{OPTION} {entry} is given, and the file holds a {type(held).__name__}",
                f"leave {OPTION} away",
            )
        return held
    if not entry:
        raise _several(held, entries)
    if entry not in entries:
        raise _refuse(
            f"the {type(held).__name__} in the file has no entry {entry!r}; it has "
            + _listed(entries),
            _which(held, entries),
        )
    return entries[entry]


def _entries(held: Any) -> dict[str, Any] | None:
    """Return what a dictionary or list holds by the text of its keys; None for anything else."""
    if isinstance(held, Mapping):
        return {str(key): value for key, value in held.items()}
    if type(held) in (list, tuple):
        return {str(place): value for place, value in enumerate(held)}
    return None


def _several(held: Any, entries: Mapping[str, Any]) -> ModelRefused:
    estimators = [key for key, value in entries.items() if _is_estimator(value)]
    kind = type(held).__name__
    if not estimators:
        return _refuse(
            f"the file holds a {kind} without any estimator: {_listed(entries)}",
            "seal the fitted estimator or pipeline itself",
        )
    named = _listed({key: entries[key] for key in estimators})
    return _refuse(
        f"the file holds a {kind}, and in it the estimators {named}", _which(held, entries)
    )


def _which(held: Any, entries: Mapping[str, Any]) -> str:
    answering = [key for key, value in entries.items() if hasattr(value, "predict")]
    rest = [key for key, value in entries.items() if _is_estimator(value) and key not in answering]
    first = (answering or rest or list(entries) or ["KEY"])[0]
    fix = f"seal one of them with {OPTION} {first[:_LONGEST]}"
    if answering and rest:
        steps = ", ".join(f"found[{_written(key, held)}]" for key in (*rest[:3], first))
        fix += (
            "; if rows pass through the others first, seal one pipeline of all, in their order: "
            f"joblib.dump(make_pipeline({steps}), file)"
        )
    return fix


def _written(key: str, held: Any) -> str:
    return repr(key[:_LONGEST]) if isinstance(held, Mapping) else key


def _is_estimator(value: Any) -> bool:
    return not isinstance(value, type) and any(hasattr(value, name) for name in _CALLS)


def _listed(entries: Mapping[str, Any]) -> str:
    shown = [
        f"{key[:_LONGEST]!r} ({type(value).__name__})"
        for key, value in list(entries.items())[:_SHOWN]
    ]
    more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return (", ".join(shown) or "nothing") + more


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
