"""The estimator in a model file of any kind, which its content tells and never its name.

It runs where a model file is read: in the confined child.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secureml.models.boosters.onnx_content import is_onnx
from secureml.models.boosters.onnx_model import model_of
from secureml.models.sealing.foreign_files import check_kind
from secureml.models.sealing.skops_file import ZIP, load_skops
from secureml.models.unpickling.advice import check_requested
from secureml.models.unpickling.allowlist import allowed_names, builtin_names, never
from secureml.models.unpickling.decompression import unpack
from secureml.models.unpickling.reader import load_recorded
from secureml.models.unpickling.requested_names import Requested, requested
from secureml.models.unpickling.substitutes import expected


@dataclass(frozen=True)
class Names:
    """The operator's own names beside the built-in ones, and the settings file that has them.

    ``settings_file`` is "" where there is none and ``--allow`` is the place; ``findable`` are
    modules that the program outside finds, though this process may not read them.
    """

    allow: frozenset[str] = frozenset()
    settings_file: str = ""
    findable: frozenset[str] = frozenset()

    def check(self, names_requested: Requested) -> frozenset[str]:
        """Refuse a file that asks for what is not allowed; return the names it may have."""
        stand_ins = expected(names_requested.names)
        known = builtin_names() | stand_ins | {name for name in self.allow if not never(name)}
        extra = known & self.allow
        check_requested(names_requested, known, extra, self.settings_file, self.findable)
        return allowed_names(self.allow) | stand_ins


def load(content: bytes, names: Names) -> Any:
    """Return what a model file holds, once all it asks for is known to be allowed.

    A pickle, plain or compressed as joblib does, of pickle, joblib or cloudpickle; a file of
    skops; or a model in ONNX. Raises ModelRefused.
    """
    if content.startswith(ZIP):
        return load_skops(content, names.check)
    if is_onnx(content):
        return model_of(content)
    check_kind(content)
    names_requested = requested(unpack(content), len(content))
    return load_recorded(content, names.check(names_requested))[0]
