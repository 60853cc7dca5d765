"""The names a model file asks for, all of them, before any of them is imported.

Reading stops at the first name that is refused, so whoever trusts a file would be told of its
names one try after the other. Here the same stream is walked with nothing behind it: every name
stands for an inert object, nothing is imported, called or given state, and arrays are skipped.
It takes no more memory than the reader may. What is found is for messages alone: the reader in
`reader` decides.
"""

from __future__ import annotations

import contextlib
import io
import pickle  # noqa: TID251 - only its walk through the opcodes; no name stands for anything
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from secureml.models.unpickling.memory_budget import OPCODE_COSTS, MemoryBudget, ceiling
from secureml.models.unpickling.numpy_values import count_of

_WRAPPER, _DTYPE = "joblib.numpy_pickle.NumpyArrayWrapper", "numpy.dtype"
_CODE = re.compile(r"[a-zA-Z?][0-9]{0,9}", re.ASCII)
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}", re.ASCII)
_MOST = 10_000  # names; an honest file has some dozens
_MOST_PLACES, _LONGEST = 3, 100  # places of one name that are told, and letters of each


class Location(NamedTuple):
    """Where in the model something stands, such as ``FunctionTransformer.func``.

    ``holds`` is the name it was made with first, for a partial its function; "" where there is
    none.
    """

    where: str
    holds: str


class Requested(NamedTuple):
    """What a file asks for, in its order, and the scikit-learn it says it was written with.

    ``inner`` are those of the names that reach into a class, such as ``module.Outer.inner``;
    ``places`` tells of names where they are the value of an attribute, at most a few each.
    """

    names: tuple[str, ...]
    inner: frozenset[str]
    sklearn: str
    indices: Mapping[str, tuple[Location, ...]] = MappingProxyType({})


class _Enough(Exception):
    """There is no need to read on."""


class _Inert:
    """Stands for whatever a name would be, or would make."""

    __slots__ = ("arguments", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.arguments: tuple[Any, ...] = ()


class _Walker(pickle._Unpickler):  # noqa: SLF001 - the C one lets no opcode be replaced
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(
        pickle._Unpickler.dispatch  # noqa: SLF001 - as above
    )
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, data: io.BytesIO, found: dict[str, None], budget: MemoryBudget) -> None:
        super().__init__(data)
        self._data, self._size, self.found, self.sklearn = data, len(data.getbuffer()), found, ""
        self.budget = budget
        self.inner: set[str] = set()
        self.indices: dict[str, tuple[Location, ...]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Note a name, and return what stands for it."""
        full = f"{module}.{name}"
        self.found[full] = None
        if "." in name:
            self.inner.add(full)
        if len(self.found) > _MOST:
            raise _Enough
        return _Inert(full)

    def persistent_load(self, pid: Any) -> Any:
        """Return what stands for an object kept elsewhere."""
        return _Inert()

    def get_extension(self, code: int) -> None:
        """Return what stands for a name by number."""
        self.stack.append(_Inert())

    def make(self) -> None:
        """Stand for what a call would make; its arguments are kept, for arrays."""
        arguments, made = self.stack.pop(), self.stack[-1]
        self.stack[-1] = _made(made, arguments)

    def make_with_words(self) -> None:
        """Stand for what a call with keywords would make."""
        self.stack.pop()
        self.make()

    def make_old(self) -> None:
        """Stand for what protocol 0 would make of a name and arguments."""
        made, *arguments = self.pop_mark()
        self.stack.append(_made(made, tuple(arguments)))

    def give_state(self) -> None:
        """Keep state beside what it is for, and skip the array that follows a wrapper."""
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Inert) or type(state) is not dict:
            return
        version = state.get("_sklearn_version")
        if not self.sklearn and type(version) is str and _VERSION.fullmatch(version):
            self.sklearn = version
        self._note_places(target.name, state)
        if target.name == _WRAPPER:
            self._skip_array(state)

    def _note_places(self, owner: str, state: dict[str, Any]) -> None:
        for key, value in state.items():
            if not isinstance(value, _Inert) or not value.name:
                continue
            known = self.indices.get(value.name, ())
            first = next(iter(value.arguments), None)
            holds = first.name if isinstance(first, _Inert) else ""
            place = Location(f"{owner.rpartition('.')[2]}.{key}"[:_LONGEST], holds)
            if len(known) < _MOST_PLACES and place not in known:
                self.indices[value.name] = (*known, place)

    def put_none(self) -> None:
        """Drop what would be put into something: the walk needs no contents."""
        self.pop_mark()

    def put_none_of_two(self) -> None:
        """Drop a key and its value."""
        del self.stack[-2:]

    def put_none_of_one(self) -> None:
        """Drop one item."""
        del self.stack[-1:]

    def keep_items(self) -> None:
        """Keep the items of a dictionary: a version or an array's shape may be among them."""
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is dict:
            for key, value in zip(items[::2], items[1::2], strict=False):
                if type(key) is str:
                    target[key] = value

    def keep_item(self) -> None:
        """Keep one item of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        if type(self.stack[-1]) is dict and type(key) is str:
            self.stack[-1][key] = value

    def make_dict(self) -> None:
        """Make a dictionary of what lies above the mark."""
        items = self.pop_mark()
        pairs = zip(items[::2], items[1::2], strict=False)
        self.stack.append({key: value for key, value in pairs if type(key) is str})

    def make_set(self) -> None:
        """Stand for a set."""
        self.pop_mark()
        self.stack.append(_Inert())

    def skip_bytes(self) -> None:
        """Skip a length of bytes; the standard reader would allocate it first."""
        size = int.from_bytes(self.read(8), "little")
        if size > self._size:
            raise _Enough
        self.read(size)
        self.stack.append(_Inert())

    def _skip_array(self, state: dict[str, Any]) -> None:
        code = next(iter(getattr(state.get("dtype"), "arguments", ())), "")
        if type(code) is not str or not _CODE.fullmatch(code):
            raise _Enough
        dtype = np.dtype(code)
        if dtype.hasobject:
            self._walk_inner()
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self._data.seek((self._data.read(1) or b"\0")[0], io.SEEK_CUR)
        self._data.seek(count_of(state["shape"]) * dtype.itemsize, io.SEEK_CUR)
        if self._data.tell() > self._size:
            raise _Enough

    def _walk_inner(self) -> None:
        inner = _Walker(self._data, self.found, self.budget)
        inner.load()
        self.sklearn = self.sklearn or inner.sklearn
        self.inner |= inner.inner
        self.indices = {**inner.indices, **self.indices}

    dispatch[pickle.REDUCE[0]] = dispatch[pickle.NEWOBJ[0]] = make
    dispatch[pickle.NEWOBJ_EX[0]] = make_with_words
    dispatch[pickle.OBJ[0]] = make_old
    dispatch[pickle.BUILD[0]] = give_state
    dispatch[pickle.SETITEMS[0]] = keep_items
    dispatch[pickle.SETITEM[0]] = keep_item
    dispatch[pickle.DICT[0]] = make_dict
    dispatch[pickle.FROZENSET[0]] = make_set
    dispatch[pickle.APPENDS[0]] = dispatch[pickle.ADDITEMS[0]] = put_none
    dispatch[pickle.APPEND[0]] = put_none_of_one
    dispatch[pickle.BYTEARRAY8[0]] = skip_bytes


def _counted(opcode: int, load: Callable[[Any], None]) -> Callable[[Any], None]:
    def load_counted(self: _Walker) -> None:
        self.budget.spend(OPCODE_COSTS[opcode])
        load(self)

    return load_counted


for _opcode, _load in list(_Walker.dispatch.items()):
    _Walker.dispatch[_opcode] = _counted(_opcode, _load)


def _made(maker: Any, arguments: Any) -> _Inert:
    made = _Inert(maker.name if isinstance(maker, _Inert) else "")
    made.arguments = arguments if type(arguments) is tuple else ()
    return made


def requested(pickle_bytes: bytes, file_size: int | None = None) -> Requested:
    """Return the names a pickle asks for; those until where it cannot be followed.

    ``file_size`` is that of the file in bytes, where it was compressed.
    """
    found: dict[str, None] = {}
    size = len(pickle_bytes) if file_size is None else file_size
    walker = _Walker(io.BytesIO(pickle_bytes), found, MemoryBudget(ceiling(size)))
    with contextlib.suppress(Exception):  # a hostile stream may raise anything; others judge it
        walker.load()
    return Requested(tuple(found), frozenset(walker.inner), walker.sklearn, walker.indices)
