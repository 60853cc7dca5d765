"""Pickles read under an allowlist of exact names, from bytes in memory.

Nothing in a pickle runs but what it may name, and it may name only what is on the list.
joblib's own reader is not used: it leaves object arrays to plain ``pickle.load`` in some
versions, opens other files for old formats, and maps memory. NumPy's own hooks are narrowed
too (see ``numpy_parts``), because some of them build objects from raw memory.
The limit: compiled estimators trust the arrays inside them, so an allowed pickle can still
crash the process. That is why the signature stands first and this second.
"""

from __future__ import annotations

import importlib
import io
import pickle  # noqa: TID251 - this is the one file that reads pickles
import warnings
from collections.abc import Callable, Container
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from .artifact import ModelRefused
from .numpy_parts import SUBSTITUTES, ArrayOnDisk, check_dtype_state
from .unpacking import UNPACKED_LIMIT, unpack

_STACK_HINT = "train and write the model again in this environment with joblib.dump"


def load_estimator(
    model_bytes: bytes, allowed: Container[str], *, limit: int = UNPACKED_LIMIT
) -> Any:
    """Return the estimator in a joblib file; raises ModelRefused, naming the global refused."""
    return load_recorded(model_bytes, allowed, limit=limit)[0]


def load_recorded(
    model_bytes: bytes, allowed: Container[str], *, limit: int = UNPACKED_LIMIT
) -> tuple[Any, frozenset[str]]:
    """Return the estimator and the exact names its pickle asked for."""
    reader = _Reader(unpack(model_bytes, limit), allowed)
    with warnings.catch_warnings():
        # Whatever else the libraries have to say about old files is not worth a start.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", InconsistentVersionWarning)
        return _guarded(reader), frozenset(reader.granted)


def _guarded(reader: _Reader) -> Any:
    try:
        return reader.load()
    except ModelRefused:
        raise
    except InconsistentVersionWarning as warning:
        raise ModelRefused(
            "versions",
            f"{warning.estimator_name} was made with scikit-learn "
            f"{warning.original_sklearn_version}, this is {warning.current_sklearn_version}",
            "train and seal the model again in this environment",
        ) from None
    except Exception as error:  # a hostile stream may raise anything at all
        raise ModelRefused(
            "format", f"the pickle cannot be read ({type(error).__name__})", _STACK_HINT
        ) from error


class _Reader(pickle._Unpickler):  # noqa: SLF001 - the C one lets no opcode be narrowed
    """An unpickler that grants only listed names and narrows the opcodes that could do more."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(
        pickle._Unpickler.dispatch  # noqa: SLF001 - as above
    )
    stack: list[Any]
    read: Callable[[int], bytes]  # set by load()

    def __init__(self, data: bytes, allowed: Container[str]) -> None:
        self._data = io.BytesIO(data)
        self._size = len(data)
        self._allowed = allowed
        self.granted: dict[str, Any] = {}
        super().__init__(self._data)

    def find_class(self, module: str, name: str) -> Any:
        """Return what an allowed name stands for; raises ModelRefused for any other."""
        full = f"{module}.{name}"
        # A dotted name would reach attributes of what is allowed: `Class.method.__globals__`.
        if "." in name or full not in self._allowed:
            raise ModelRefused(
                "globals",
                f"the model file asks for {full}, which is not allowed",
                "if you know and trust that name, add it to allow; otherwise do not use this file",
            )
        if full not in self.granted:
            self.granted[full] = _resolve(module, name, full)
        return self.granted[full]

    def get_extension(self, code: int) -> None:
        """Refuse extension codes: they name globals without spelling them."""
        raise ModelRefused("globals", f"the model file uses extension code {code}", _STACK_HINT)

    def load_reduce(self) -> None:
        """Call only what was granted by name, never a callable built by the pickle."""
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not self._was_granted(function):
            raise ModelRefused(
                "globals", f"the model file calls a {type(function).__name__}", _STACK_HINT
            )
        self.stack[-1] = function(*arguments)

    def refuse_old_opcode(self) -> None:
        """Refuse OBJ and INST: they call whatever they find, and joblib never wrote them."""
        raise ModelRefused("globals", "the model file builds objects as of 1995", _STACK_HINT)

    def load_build(self) -> None:
        """Give state to instances only, and put arrays in the place of their wrappers."""
        target = self.stack[-2]
        if isinstance(target, type) or self._was_granted(target):
            # State given to a class or function would change it for the whole process.
            raise ModelRefused("globals", f"the model file alters {target!r}", _STACK_HINT)
        if isinstance(target, np.dtype):
            check_dtype_state(target, self.stack[-1])
        super().load_build()  # type: ignore[misc] # not in typeshed
        if isinstance(target, ArrayOnDisk):
            self.stack[-1] = self._read_array(target)

    def _was_granted(self, thing: object) -> bool:
        return any(thing is granted for granted in self.granted.values())

    def load_bytearray8(self) -> None:
        """Refuse a length beyond the file: the standard reader would allocate it first."""
        size = int.from_bytes(self.read(8), "little")
        if size > self._size:
            raise ModelRefused("format", "the pickle claims more bytes than it has", _STACK_HINT)
        self.stack.append(bytearray(self.read(size)))

    def _read_array(self, wrapper: ArrayOnDisk) -> np.ndarray[Any, Any]:
        if not wrapper.holds_objects():
            return wrapper.take(self._data, self._size)
        inner = _Reader(b"", self._allowed)
        inner._data, inner._size, inner.granted = self._data, self._size, self.granted
        pickle._Unpickler.__init__(inner, self._data)  # noqa: SLF001 - one file, one stream
        array = inner.load()
        if type(array) is not np.ndarray:
            raise ModelRefused("format", "an object array holds something else", _STACK_HINT)
        return array

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.OBJ[0]] = dispatch[pickle.INST[0]] = refuse_old_opcode
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _resolve(module: str, name: str, full: str) -> Any:
    if full in SUBSTITUTES:
        return SUBSTITUTES[full]
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ModelRefused(
            "globals",
            f"{full} does not exist in this environment",
            "install what the model was trained with, at the same version",
        ) from None
