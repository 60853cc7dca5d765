"""Pickles read under an allowlist of exact names, from bytes in memory.

Nothing in a pickle runs but what it may name, and a name is no licence: ``instances`` says what
may be called, made and given state. Containers are filled only where they are exactly list,
set or dict. When all is read, what was built is walked, and a callable where scikit-learn
keeps none is refused (``graph_check``), before anything of it is asked.
joblib's own reader is not used: it leaves object arrays to plain ``pickle.load`` in some
versions, opens other files for old formats, and maps memory.
The limit: compiled code trusts numbers; ``compiled_consistency`` lists those that are checked.
"""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - this is the one file that reads pickles
import sys
import warnings
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling import plain_values
from secureml.models.unpickling.decompression import unpack
from secureml.models.unpickling.file_inputs import check_reads_no_files
from secureml.models.unpickling.graph_check import check_graph
from secureml.models.unpickling.instances import Builder
from secureml.models.unpickling.memory_budget import OPCODE_COSTS, MemoryBudget, ceiling
from secureml.models.unpickling.numpy_values import ArrayOnDisk, Draft
from secureml.models.unpickling.single_thread import use_one_thread

_STACK_HINT = "train and write the model again in this environment with joblib.dump"
_TEXTS = (
    pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT,
    pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING,
    pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8,
    pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8,
)  # fmt: skip


def load_estimator(model_bytes: bytes, allowed: Container[str]) -> Any:
    """Return the estimator in a joblib file; raises ModelRefused, naming the global refused."""
    return load_recorded(model_bytes, allowed)[0]


def load_recorded(model_bytes: bytes, allowed: Container[str]) -> tuple[Any, frozenset[str]]:
    """Return the estimator and the exact names its pickle asked for."""
    unpacked = unpack(model_bytes)
    budget = MemoryBudget(ceiling(len(model_bytes)))
    builder = Builder(allowed, budget)
    reader = _Reader(_Source(io.BytesIO(unpacked), len(unpacked), budget, builder))
    with warnings.catch_warnings():
        # Whatever else the libraries have to say about old files is not worth a start.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", InconsistentVersionWarning)
        return _guarded(reader), frozenset(builder.granted)


def _guarded(reader: _Reader) -> Any:
    try:
        loaded = reader.load()
        reader.source.builder.check_complete()
        check_graph(loaded, reader.source.builder.grants)
        check_reads_no_files(loaded)
        use_one_thread(loaded)  # here, where every model comes in: nobody can ask one before
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
    return loaded


@dataclass
class _Source:
    """What a pickle and the pickles nested in its object arrays share."""

    data: io.BytesIO
    size: int
    budget: MemoryBudget
    builder: Builder


class _Reader(pickle._Unpickler):  # noqa: SLF001 - the C one lets no opcode be narrowed
    """An unpickler that grants only listed names and narrows the opcodes that could do more."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(
        pickle._Unpickler.dispatch  # noqa: SLF001 - as above
    )
    stack: list[Any]
    metastack: list[list[Any]]
    memo: dict[int, Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]

    def __init__(self, source: _Source) -> None:
        self.source = source
        super().__init__(source.data)

    def load(self) -> Any:
        """Return what the pickle holds; raises whatever a hostile stream may raise."""
        # Read without frames: all is in memory, and a frame would be one more copy.
        self.read, self.readline = self.source.data.read, self.source.data.readline
        self.memo, self.stack, self.metastack, self.proto = {}, [], [], 0
        self.append = self.stack.append
        read, dispatch, spend = self.source.data.read, self.dispatch, self.source.budget.spend
        try:
            while True:
                opcode = read(1)
                if not opcode:
                    raise EOFError
                spend(OPCODE_COSTS[opcode[0]])
                dispatch[opcode[0]](self)
        except pickle._Stop as end:  # type: ignore[attr-defined]  # noqa: SLF001 - see above
            return end.value

    # --- Names ---------------------------------------------------------------------------

    def find_class(self, module: str, name: str) -> Any:
        """Return what an allowed name stands for; raises ModelRefused for any other."""
        return self.source.builder.grant(module, name)

    def get_extension(self, code: int) -> None:
        """Refuse extension codes: they name globals without spelling them."""
        raise ModelRefused("globals", f"the model file uses extension code {code}", _STACK_HINT)

    def refuse_old_opcode(self) -> None:
        """Refuse OBJ and INST: they call whatever they find, and joblib never wrote them."""
        raise ModelRefused("globals", "the model file builds objects as of 1995", _STACK_HINT)

    # --- Calls, instances, state ---------------------------------------------------------

    def load_reduce(self) -> None:
        """Call what the tables allow, with the exact types they demand."""
        arguments = self.stack.pop()
        self.stack[-1] = self.source.builder.call(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        """Make a bare instance of a class that was granted: of exactly that object."""
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(self.source.builder.bare(kind, arguments, {}))

    def load_newobj_ex(self) -> None:
        """Make a bare instance, as NEWOBJ does."""
        words, arguments, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.append(self.source.builder.bare(kind, arguments, words))

    def load_build(self) -> None:
        """Give state by the type's own means, to instances only; finish drafts."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Draft):
            self.stack[-1] = self.source.builder.finish(target, state, self._read_array)
        else:
            self.source.builder.give(target, state)

    def _read_array(self, wrapper: ArrayOnDisk) -> np.ndarray[Any, Any]:
        if not wrapper.dtype.hasobject:
            return wrapper.take(self.source.data, self.source.size)
        array = _Reader(self.source).load()
        if type(array) is not np.ndarray:
            raise ModelRefused("format", "an object array holds something else", _STACK_HINT)
        return array

    # --- Memory --------------------------------------------------------------------------

    def _recall(self, place: int) -> None:
        thing = self.memo[place]
        if isinstance(thing, Draft):
            thing = thing.made
            if thing is None:
                raise ModelRefused("format", "an array in the model holds itself", _STACK_HINT)
        self.append(thing)

    def load_get(self) -> None:
        """Push what was remembered: an array, not the draft it was made from."""
        self._recall(int(self.readline()[:-1]))

    def load_binget(self) -> None:
        """Push what was remembered under a number of one byte."""
        self._recall(self.read(1)[0])

    def load_long_binget(self) -> None:
        """Push what was remembered under a number of four bytes."""
        self._recall(int.from_bytes(self.read(4), "little"))

    def load_frame(self) -> None:
        """Pass over a frame's length: it says how to read ahead, which memory needs not."""
        if int.from_bytes(self.read(8), "little") > self.source.size:
            raise ModelRefused("format", "the pickle claims more bytes than it has", _STACK_HINT)

    def load_bytearray8(self) -> None:
        """Refuse a length beyond the file: the standard reader would allocate it first."""
        size = int.from_bytes(self.read(8), "little")
        if size > self.source.size - self.source.data.tell():
            raise ModelRefused("format", "the pickle claims more bytes than it has", _STACK_HINT)
        self.source.budget.spend(size)
        made = bytearray(size)
        self.source.data.readinto(made)
        self.append(made)

    # --- Containers ----------------------------------------------------------------------

    def load_append(self) -> None:
        """Append to an exact list only."""
        item = self.stack.pop()
        self._sequence().append(item)

    def load_appends(self) -> None:
        """Extend an exact list only."""
        items = self.pop_mark()
        self._sequence().extend(items)

    def _sequence(self) -> Any:
        target = self.stack[-1]
        if type(target) not in plain_values.SEQUENCES:
            raise plain_values.refuse(f"appends to a {type(target).__name__}")
        return target

    def load_additems(self) -> None:
        """Add to an exact set only, and only plain keys."""
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not set:
            raise plain_values.refuse(f"adds to a {type(target).__name__}")
        plain_values.check_keys(items, self.source.budget)
        target.update(items)

    def load_frozenset(self) -> None:
        """Make a frozenset of plain keys."""
        items = self.pop_mark()
        plain_values.check_keys(items, self.source.budget)
        self.append(frozenset(items))

    def load_setitem(self) -> None:
        """Put one item into an exact dict only."""
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key], [value])

    def load_setitems(self) -> None:
        """Put items into an exact dict only."""
        items = self.pop_mark()
        self._put(items[::2], items[1::2])

    def _put(self, keys: list[Any], values: list[Any]) -> None:
        target = self.stack[-1]
        plain_values.check_mapping(target, keys, self.source.budget)
        for key, value in zip(keys, values, strict=True):
            target[key] = value

    def load_dict(self) -> None:
        """Make a dict of plain keys."""
        items = self.pop_mark()
        plain_values.check_keys(items[::2], self.source.budget)
        self.append(dict(zip(items[::2], items[1::2], strict=True)))

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.OBJ[0]] = dispatch[pickle.INST[0]] = refuse_old_opcode
    dispatch[pickle.GET[0]] = load_get
    dispatch[pickle.BINGET[0]] = load_binget
    dispatch[pickle.LONG_BINGET[0]] = load_long_binget
    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.APPEND[0]] = load_append
    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.FROZENSET[0]] = load_frozenset
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict


def _counted(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """Count what a text, a number or bytes came to: four bytes a letter, at worst."""

    def load_counted(self: _Reader) -> None:
        load(self)
        self.source.budget.spend(sys.getsizeof(self.stack[-1]))

    return load_counted


for _opcode in _TEXTS:
    _Reader.dispatch[_opcode[0]] = _counted(_Reader.dispatch[_opcode[0]])
