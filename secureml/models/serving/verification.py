"""The one path from bytes on disk to a model that may answer, check by check.

The order is the promise: which plugin verifies the bytes, whether card and model belong together
and whether this environment is the card's are all settled before the data form is read; the
answers are settled before the model is handed out.
"""

from __future__ import annotations

import importlib
import math
import platform
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy
import sklearn

from secureml.models.artifact.version_files import Artifact, ModelRefused
from secureml.models.card import OPTIONAL_LIBRARIES, Card
from secureml.models.card_section import Sections, check_sections
from secureml.models.data_form import reader
from secureml.models.rows.refused import RowsRefused
from secureml.models.serving.estimator_traits import estimator_type
from secureml.models.serving.handle import ModelHandle
from secureml.models.serving.result import ModelFailed
from secureml.models.unpickling.advice import check_requested
from secureml.models.unpickling.allowlist import allowed_names
from secureml.models.unpickling.requested_names import Requested

Verifier = Callable[[Artifact], None]
_RESEAL = "seal the model again in this environment"
_TOLERANCE = 1e-9
_ONNX = "secureml.models.boosters.onnx_model."


def prove(
    artifact: Artifact,
    verifiers: Sequence[Verifier] = (),
    extra: frozenset[str] = frozenset(),
    sections: Sections = MappingProxyType({}),
) -> ModelHandle:
    """Return the model ready to answer; raises ModelRefused naming the first failed check.

    ``extra`` are names allowed beside the built-in list, ``sections`` those of enabled plugins.
    """
    try:
        for verify_artifact in verifiers:
            verify_artifact(artifact)
        return _proved(artifact, extra, sections)
    except ModelRefused as refused:
        raise refused.of(artifact.name, artifact.version) from refused.__cause__


def _proved(artifact: Artifact, extra: frozenset[str], sections: Sections) -> ModelHandle:
    try:
        card = Card.from_json(artifact.card_bytes)
        check_card(artifact, card)
        check_sections(card, sections)
        check_versions(card)
        check_names(frozenset(card.globals), extra)
        estimator = reader.read(artifact.model_bytes, allowed=frozenset(card.globals))
        check_agreement(card, estimator)
        handle = ModelHandle(card, estimator)
        check_golden(handle)
    except ModelRefused:
        raise
    except Exception as error:
        # What an estimator does when it is looked at is its own; it must not end a command or
        # take other models down.
        raise ModelRefused(
            "format",
            f"the model raises {type(error).__name__} while it is loaded ({error})",
            "train and seal the model again in this environment",
        ) from error
    return handle


def check_names(names: frozenset[str], extra: frozenset[str]) -> None:
    """Refuse a model that needs names which this start does not allow, all at once."""
    names_requested = Requested(tuple(sorted(names)), frozenset(), "")
    check_requested(names_requested, allowed_names(extra), extra, "secureml.toml")


def check_card(artifact: Artifact, card: Card) -> None:
    """Hold the card to the folder it lies in and to the model file beside it."""
    if (card.name, card.version) != (artifact.name, artifact.version):
        raise ModelRefused(
            "card",
            f"the card is of {card.name} version {card.version}",
            "put each version folder back where it was sealed",
        )
    if card.digest != artifact.digest:
        raise ModelRefused(
            "digest",
            "the model file is not the one the card describes",
            "restore the sealed file, or seal the new one",
        )


def versions_here(container: str, names: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions an answer depends on, as this process has them.

    ``names`` are those that the model asks for; raises ModelRefused where a library is missing.
    """
    found = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
    tops = {name.partition(".")[0] for name in names} & OPTIONAL_LIBRARIES.keys()
    if any(name.startswith(_ONNX) for name in names):
        tops |= {"onnxruntime"}
    if container == "frame":
        tops |= {"pandas"}
    return found | {OPTIONAL_LIBRARIES[top]: _version_of(top) for top in sorted(tops)}


def _version_of(module: str) -> str:
    try:
        # Wanted by few models, and slow to import.
        found = importlib.import_module(module)
    except (ImportError, OSError) as error:  # a library of C that is missing is the second
        if module == "pandas":
            raise ModelRefused(
                "versions",
                "the model takes data frames and pandas is not installed",
                "script/extras frames, or fit the model on arrays",
            ) from None
        raise ModelRefused(
            "versions",
            f"the model needs {module}, which cannot be imported here ({error})",
            f"script/extras {_extra(module)}",
        ) from None
    return str(found.__version__)


def _extra(module: str) -> str:
    return "onnx" if module == "onnxruntime" else module


def check_versions(card: Card) -> None:
    """Refuse a model made elsewhere: other versions may answer otherwise without a word."""
    here = versions_here(card.container, card.globals)
    for library, sealed in card.versions.items():
        if sealed != here.get(library):
            raise ModelRefused(
                "versions",
                f"it was sealed with {library} {sealed}, this is {library} {here.get(library)}",
                _RESEAL,
            )


def check_agreement(card: Card, estimator: Any) -> None:
    """Refuse a card that does not fit the estimator it came with."""
    if not hasattr(estimator, card.method or "predict"):
        raise ModelRefused(
            "card",
            f"the file holds a {type(estimator).__name__}, not an estimator",
            "seal the fitted estimator itself",
        )
    width = getattr(estimator, "n_features_in_", None)
    own = width is None  # a class of somebody's own may not say it; its golden rows are asked
    if card.container not in ("column", "mapping") and not own and width != len(card.features):
        raise ModelRefused(
            "card", "the card and the model differ in the number of columns", _RESEAL
        )
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and list(names) != [feature.name for feature in card.features]:
        raise ModelRefused("card", "the card and the model differ in the names of columns", _RESEAL)
    if not card.outputs and classes_of(estimator) != card.classes:
        raise ModelRefused("card", "the card and the model differ in their classes", _RESEAL)


def classes_of(estimator: Any) -> tuple[Any, ...] | None:
    """Return a classifier's classes as plain values, None for other estimators."""
    if estimator_type(estimator) != "classifier" or type(estimator.classes_) is list:
        return None  # a list is of several outputs, each with classes of its own
    return tuple(np.asarray(estimator.classes_).tolist())


def check_golden(handle: ModelHandle) -> None:
    """Ask the golden rows again through the path a request takes, and compare."""
    golden = handle.card.golden
    try:
        result = handle.predict(handle.read([list(row) for row in golden.rows]))
    except (ModelFailed, RowsRefused) as error:
        raise _other_answers(f"the model does not answer its golden rows ({error})") from error
    if not _same(result.predictions, golden.predictions):
        raise _other_answers("a golden row has another answer than when the model was sealed")
    if (result.probabilities is None) != (golden.probabilities is None):
        raise _other_answers("probabilities came or went since the model was sealed")
    for now, then in zip(result.probabilities or (), golden.probabilities or (), strict=True):
        if not _same(now, then):
            raise _other_answers("a golden row has other probabilities than when it was sealed")


def _other_answers(message: str) -> ModelRefused:
    return ModelRefused("golden", message, "train and seal the model again on this machine")


def _same(now: Sequence[Any], then: Sequence[Any]) -> bool:
    return len(now) == len(then) and all(map(_equal, now, then))


def _equal(now: Any, then: Any) -> bool:
    if type(then) is tuple:
        return type(now) is list and _same(now, then)
    if type(now) is float and type(then) is float:
        return math.isclose(now, then, rel_tol=_TOLERANCE, abs_tol=1e-12)
    return type(now) is type(then) and bool(now == then)
