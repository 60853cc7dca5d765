"""The model file in a folder that MLflow has written, found without MLflow.

``MLmodel`` is a page of YAML that says what the folder holds: by flavours, each with a path
(https://mlflow.org/docs/latest/ml/model/). It is read for that path alone, and the path is
followed inside the folder and through no link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from secureml.models.artifact.version_files import ModelRefused, open_model_file, opened_model_file

MLMODEL = "MLmodel"
_LIMIT = 256 * 1024
_DEEPEST = 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The member of each flavour that is read here, and the path it has.
_FLAVOURS = (("sklearn", "pickled_model"), ("onnx", "data"))
_LOADERS = {"mlflow.sklearn": "model_path", "mlflow.onnx": "model_path"}
# What PyYAML raises of itself, beside its own errors, where a value is not of the kind it names.
_RAISED = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
_LOG_AGAIN = (
    "log the model with mlflow.sklearn.log_model, or write the estimator itself with joblib.dump"
)


def open_source(path: Path) -> int:
    """Return the model file that a path names, open for reading; raises ModelRefused.

    The path is that of the file, or of a folder of MLflow in which it lies.
    """
    if not path.is_dir():
        return open_model_file(path)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _opened(folder, model_path(_read(folder)))
    finally:
        os.close(folder)


def model_path(text: bytes) -> PurePosixPath:
    """Return the path of the model file that an ``MLmodel`` names; raises ModelRefused."""
    flavours = _mapping(_parsed(text), "flavors", "the page")
    for name, member in _FLAVOURS:
        if name in flavours:
            return _path(_mapping(flavours, name, "flavors").get(member), f"{name}.{member}")
    python = _mapping(flavours, "python_function", "flavors")
    loader = python.get("loader_module")
    if type(loader) is not str or loader not in _LOADERS:
        raise _refuse(
            f"{MLMODEL} names the loader {str(loader)[:100]!r}, and only what mlflow.sklearn and "
            "mlflow.onnx write is sealed",
            _LOG_AGAIN,
        )
    # Before MLflow 2 the member was called data.
    return _path(python.get(_LOADERS[loader], python.get("data")), "python_function.model_path")


def _parsed(text: bytes) -> Mapping[str, Any]:
    try:
        import yaml  # noqa: PLC0415 - an extra, and needed by such folders alone
    except ImportError:
        raise _refuse(
            f"the folder is one of MLflow, and reading its {MLMODEL} needs PyYAML, which is not "
            "installed here",
            "script/extras mlflow, or give the model file in the folder",
        ) from None

    class Strict(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
        """Plain values, each key once and nothing by reference."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise yaml.YAMLError("it has an anchor or an alias")
            if self.depth > _DEEPEST:
                raise yaml.YAMLError("it is nested too deeply")
            self.depth += 1
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= 1

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            if any(type(key) is not str for key in keys) or len(set(keys)) != len(keys):
                raise yaml.YAMLError("a key is given twice, or is no text")
            return super().construct_mapping(node, deep=deep)

        depth = 0

    try:
        found = yaml.load(text.decode("utf-8"), Loader=Strict)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, *_RAISED) as error:
        raise _refuse(f"{MLMODEL} cannot be read ({_one_line(error)})", _LOG_AGAIN) from None
    if type(found) is not dict:
        raise _refuse(f"{MLMODEL} is not a page of keys and values", _LOG_AGAIN)
    return found


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _mapping(holder: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = holder.get(key)
    if type(found) is not dict:
        raise _refuse(f"{MLMODEL} has no {key} in {where}", _LOG_AGAIN)
    return found


def _path(given: Any, where: str) -> PurePosixPath:
    """Return a path inside the folder; raises ModelRefused for any other."""
    path = PurePosixPath(given) if type(given) is str and given and "\0" not in given else None
    if path is None or path.is_absolute() or ".." in path.parts or not path.parts:
        raise _refuse(
            f"{MLMODEL} has {str(given)[:100]!r} at {where}, which is no path inside the folder",
            "do not use this folder, unless you know why it points elsewhere",
        )
    return path


def _read(folder: int) -> bytes:
    try:
        opened = os.open(MLMODEL, _FLAGS, dir_fd=folder)
    except OSError as error:
        raise _refuse(
            f"it is a folder without a readable {MLMODEL} ({error.strerror})",
            "give a model file, or the folder that mlflow.sklearn.log_model has written",
        ) from None
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise _refuse(f"{MLMODEL} is not a regular file", _LOG_AGAIN)
        text = file.read(_LIMIT + 1)
    if len(text) > _LIMIT:
        raise _refuse(f"{MLMODEL} is longer than {_LIMIT} bytes", _LOG_AGAIN)
    return text


def _opened(folder: int, path: PurePosixPath) -> int:
    """Open a file below a folder, through no link: neither it nor what leads to it is one."""
    within = os.dup(folder)
    try:
        for part in path.parts[:-1]:
            below = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=within)
            os.close(within)
            within = below
        opened = os.open(path.parts[-1], _FLAGS, dir_fd=within)
    except OSError as error:
        raise _refuse(
            f"{MLMODEL} names {str(path)[:100]!r}, which cannot be opened in the folder "
            f"({error.strerror})",
            "copy the whole folder, as mlflow has written it; links are not followed",
        ) from None
    finally:
        os.close(within)
    return opened_model_file(opened, str(path))


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("format", message, fix)
