"""Has a model file converted by a child process that has nothing to lose.

The child may read the Python installation and what it is given, write its result, and compute
within limits; see docs/confinement.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from secureml.confinement import run as confinement
from secureml.confinement.limits import GIB, MIB, Limits
from secureml.confinement.unavailable import ConfinementError, ConfinementUnavailable
from secureml.models.artifact.version_files import MODEL_LIMIT, ModelRefused
from secureml.models.sealing.conversion import Conversion, convert
from secureml.models.sealing.own_modules import names_beside, own_modules

if TYPE_CHECKING:
    from secureml.confinement.launcher import Work
    from secureml.confinement.outcome import Outcome

SWITCH = "--unconfined"
_WORK = f"{__name__}:work"
# What reading takes, in bytes for each byte: a pickle and its objects, a table and its cells.
_FOR_MODEL, _FOR_TABLE = 10, 40
# Seconds by the clock for each of the processor, which others on the machine need, too.
_WALL = 4


class Source(NamedTuple):
    """What is converted: a model file open for reading, and the contents of its table."""

    model: int
    table: bytes | None


# Returns what was tried meanwhile and refused, each to be read after "tried to".
Converter = Callable[[Conversion, Source, Path], Sequence[str]]


@dataclass(frozen=True)
class Confined:
    """How a conversion is confined; called with what is converted and where its result goes.

    ``memory`` (bytes) is chosen by the sizes of file and table where it is None; ``seconds`` of
    processor time. ``unconfined_too`` has it run also where the system offers no confinement.
    Raises ModelRefused.
    """

    memory: int | None = None
    seconds: float = 900.0
    unconfined_too: bool = False

    def __call__(self, conversion: Conversion, source: Source, result: Path) -> Sequence[str]:
        """Write the result of `conversion.convert` to a new file."""
        packages = own_modules(conversion.allow)
        conversion = replace(conversion, findable=names_beside())
        with opened(conversion.encode()) as order, opened(source.table) as table:
            inputs = {"order": order, "model": source.model}
            if source.table is not None:
                inputs["table"] = table
            job = confinement.Job(_WORK, inputs=inputs, packages=packages)
            size = os.fstat(source.model).st_size
            memory = _FOR_MODEL * size + _FOR_TABLE * len(source.table or b"")
            outcome = self.run(job, memory, result, "the model file")
        return list(dict.fromkeys(refusal.attempt() for refusal in outcome.refusals))

    def run(self, job: confinement.Job, memory: int, output: Path | BinaryIO, what: str) -> Outcome:
        """Have a job done within the limits; ``memory`` is what it takes beside the libraries.

        Raises ModelRefused that tells of ``what`` was read.
        """
        limits = Limits(
            memory=self.memory or 2 * GIB + memory,
            processor=self.seconds,
            wall=_WALL * self.seconds,
            output=MODEL_LIMIT + 64 * MIB,
        )
        required = () if self.unconfined_too else confinement.MINIMUM
        try:
            outcome = confinement.run(
                job, limits=limits, output=output, required=required, switch=SWITCH
            )
        except ConfinementUnavailable as error:
            raise ModelRefused("confinement", *str(error).rsplit("; fix: ", 1)) from None
        except ConfinementError as error:
            raise ModelRefused(
                "confinement", str(error), "this is a fault of SecureML: please report it"
            ) from None
        if not outcome.ok:
            raise ModelRefused("confinement", outcome.explain(what), _way_out(outcome))
        return outcome


def _way_out(outcome: Outcome) -> str:
    if outcome.limit is not None:
        return "raise --memory-limit or --time-limit if you know and trust the file"
    return "do not use this file, unless you know why it does that"


@contextmanager
def opened(content: bytes | None) -> Iterator[int]:
    """Yield a descriptor that a content is read from."""
    with tempfile.TemporaryFile() as file:
        file.write(content or b"")
        file.flush()
        # Opened anew: the child's must not be one that can be written.
        descriptor = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def work(given: Work) -> None:
    """Do the conversion; called in the child, confined already."""
    contents = {name: _read(descriptor) for name, descriptor in given.inputs.items()}
    assert given.output is not None  # noqa: S101 - it was asked for
    with os.fdopen(given.output, "wb") as output:
        order = Conversion.decode(contents["order"])
        convert(order, contents["model"], contents.get("table"), output)


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
