"""A model file becomes its data form: read, asked about its table, and written as data.

The one place where a model file is read. It runs in a confined child (see ``confined_conversion``):
a pickle is a program, and the allowlist that it is held to is the second wall and not the first.
What it writes is believed by nobody: it is read as any upload is.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, NamedTuple

from secureml.kit.strict_json import loads_object
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.data_form import writer
from secureml.models.sealing.accepted_rows import RowOptions
from secureml.models.sealing.build_card import Learned, Subject, TableOptions, learn_model
from secureml.models.sealing.entries import chosen
from secureml.models.sealing.model_file import Names, load
from secureml.models.sealing.table_file import TableFile
from secureml.models.unpickling.allowlist import allowed_names

_LENGTH = struct.Struct("<Q")
_TRAILER_LIMIT = 64 * 1024**2
_CHECKS = frozenset(
    ("missing", "format", "card", "versions", "globals", "golden", "answers", "confinement")
)


@dataclass(frozen=True)
class Conversion:
    """What is converted: a version of a name, and what is said of its file and its table.

    ``allow`` are names allowed beside the built-in ones, ``settings_file`` where that list stands;
    ``table`` is what messages call the table, None where there is none; ``csv`` what is said of how
    it is written, ``missing`` and ``unknown`` what is said of rows (see `RowOptions`); ``entry`` is
    the key of the estimator where the file holds a dictionary or a list, "" where it holds the
    estimator; ``findable`` are modules that Python finds here, though not in a confined child.
    """

    name: str
    version: str
    created: str
    source_digest: str
    table: str | None = None
    target: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    settings_file: str = ""
    csv: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    entry: str = ""
    findable: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes that `decode` reads."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Conversion:
        """Read what `encode` wrote."""
        raw = json.loads(data)
        return cls(**{**raw, "allow": tuple(raw["allow"]), "findable": tuple(raw["findable"])})

    def options(self) -> TableOptions:
        """Return what is said of the table and its rows."""
        return TableOptions(self.target, self.types, RowOptions(self.missing, self.unknown))

    def subject(self, digest: str) -> Subject:
        """Return what the card of a data form with this SHA-256 is of."""
        return Subject(self.name, self.version, self.created, digest, self.source_digest)


class Converted(NamedTuple):
    """What the conversion says of the estimator that the file held: its card, and its answers.

    ``card`` is the JSON of a card without sections, ``answers`` a digest of every answer.
    """

    card: str
    answers: str


def convert(conversion: Conversion, model: bytes, table: bytes | None, output: BinaryIO) -> None:
    """Write the data form of a model file, and what it answers, to ``output``.

    Where it is refused, the refusal is written in place of what it answers.
    """
    writing = _Hashing(output)
    try:
        said = _converted(conversion, model, table, writing)
    except MemoryError:
        raise  # the limit of the confinement, and told as that
    except ModelRefused as refused:
        said = {"refused": [refused.check, refused.message, refused.fix]}
    trailer = json.dumps(said, allow_nan=False).encode()
    output.write(trailer)
    output.write(_LENGTH.pack(len(trailer)))


def _converted(
    conversion: Conversion, model: bytes, table: bytes | None, writing: _Hashing
) -> dict[str, Any]:
    allow = frozenset(conversion.allow)
    held = load(model, Names(allow, conversion.settings_file, frozenset(conversion.findable)))
    estimator = chosen(held, conversion.entry)
    names = writer.write(estimator, writing, allowed=allowed_names(allow))
    learned = learn(conversion, estimator, names, table, digest=writing.digest.hexdigest())
    return {"card": learned.card.to_json().decode(), "answers": learned.answers}


def learn(
    conversion: Conversion,
    estimator: Any,
    names: frozenset[str],
    table: bytes | None,
    *,
    digest: str,
    read_again: bool = True,
) -> Learned:
    """Return what is learned of an estimator; raises ModelRefused, whatever the estimator does."""
    data = (
        None if table is None else TableFile(conversion.table or "the table", table, conversion.csv)
    )
    try:
        return learn_model(
            conversion.subject(digest),
            estimator,
            names,
            data=data,
            options=conversion.options(),
            read_again=read_again,
        )
    except (ModelRefused, MemoryError):
        raise
    except Exception as error:
        # What a model, NumPy or pandas does with a table is theirs to raise, and ours to tell.
        raise ModelRefused(
            "card",
            f"{type(error).__name__} was raised while the model and its table were looked at "
            f"({error})",
            "see whether model.predict(pandas.read_csv(table)) works in Python on this machine; "
            "if it does, this is a fault of SecureML: please report it",
        ) from error


class _Hashing:
    """A file that is written, and the SHA-256 of what was."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, part: bytes | memoryview) -> None:
        self._file.write(part)
        self.digest.update(part)


def take(result: BinaryIO) -> Converted:
    """Read what a conversion says, and leave the data form alone in the file.

    ``result`` is open for reading and writing. Raises ModelRefused where the conversion refused
    the model, or where this is nothing that `convert` writes.
    """
    end = result.seek(0, 2)
    try:
        if end < _LENGTH.size:
            raise ValueError("length")
        result.seek(-_LENGTH.size, 2)
        (length,) = _LENGTH.unpack(result.read(_LENGTH.size))
        if length > min(_TRAILER_LIMIT, end - _LENGTH.size):
            raise ValueError("length")
        begin = result.seek(-_LENGTH.size - length, 2)
        said = loads_object(result.read(length))
        if said.keys() == {"refused"}:
            raise _refusal(said["refused"])
        card, answers = said.pop("card"), said.pop("answers")
        if said or type(card) is not str or type(answers) is not str:
            raise ValueError("members")
    except (ValueError, OSError, KeyError) as error:
        raise _strange(str(error)) from None
    result.truncate(begin)
    return Converted(card, answers)


def check_same(found: Learned, said: Converted) -> None:
    """Refuse a data form that answers otherwise, in any bit, than the file it was made of.

    ``found`` was learned of the form, ``said`` by the conversion of the estimator in the file.
    """
    if found.answers != said.answers or found.card.to_json().decode() != said.card:
        raise ModelRefused(
            "answers",
            "the model answers otherwise from its data form than from its file",
            "a model that draws random numbers or keeps a state while it answers cannot be sealed; "
            "if yours does neither, this is a fault of SecureML: please report it",
        )


def _refusal(parts: Any) -> ModelRefused:
    if type(parts) is not list or len(parts) != 3 or any(type(part) is not str for part in parts):
        return _strange("refused")
    check, message, fix = parts
    return ModelRefused(check if check in _CHECKS else "format", message, fix)


def _strange(what: str) -> ModelRefused:
    return ModelRefused(
        "format",
        f"reading the model file gave no result that can be read ({what})",
        "do not use this file: what was read tried to pass for something else",
    )
