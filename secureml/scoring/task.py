"""One chunk scored, wherever that is: in this process, in another, on another machine.

A worker is given the folder of the sealed model, or the bytes of its files, and the digests that
the verified model has. It loads nothing that has others, and loads it as a server does: from the
data form, held to its card, with the known answers reproduced. No pickle of a model is sent.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from secureml.models.artifact.version_files import Artifact
from secureml.models.serving.model_folder import ModelFolder
from secureml.models.serving.result import ModelFailed, Result
from secureml.scoring.answers import AnswerColumn, as_columns, limited
from secureml.scoring.chunk_table import ChunkTable
from secureml.scoring.csv_chunk import CsvChunk, CsvTable
from secureml.scoring.csv_rows import as_csv
from secureml.scoring.parquet_file import ParquetChunk, ParquetTable, as_stream
from secureml.scoring.refused import NotScored, RowNote
from secureml.scoring.row_selection import RowSelector, Selection, taken
from secureml.scoring.rules import LimitAnswers, MakeRules

if TYPE_CHECKING:
    from secureml.models.serving.handle import ModelHandle

Chunk = CsvChunk | ParquetChunk


@dataclass(frozen=True)
class Job:
    """What every chunk of a run has in common; two of one ``key`` are the same but for ``parent``.

    ``digests`` are the SHA-256 of the model file and of its card, in hex. ``folder`` holds the
    sealed models, or is None where the bytes are sent. ``parent`` is the process whose end ends
    a local worker, 0 for none. ``each_note`` has clipped and flagged cells told one by one.
    """

    key: str
    name: str
    version: str
    digests: tuple[str, str]
    folder: Path | None
    allowed: frozenset[str]
    rules: tuple[MakeRules, ...]
    limits: tuple[LimitAnswers, ...]
    kept: tuple[str, ...]
    answers: tuple[AnswerColumn, ...]
    probabilities: bool
    each_note: bool
    parent: int = 0


@dataclass(frozen=True)
class Scored:
    """A chunk of output, how many rows were read and answered, and what is to be said of others."""

    part: bytes
    read: int
    answered: int
    notes: list[RowNote]
    counts: dict[str, int]


def score_chunk(job: Job, model: bytes | None, card: bytes | None, chunk: Chunk) -> Scored:
    """Score one chunk; raises ModelRefused and NotScored."""
    if job.parent and job.parent != os.getpid():
        _end_with(job.parent)
    return _scorer(job, model, card).score(chunk)


class Scorer:
    """A loaded model with the rules of a run."""

    def __init__(self, job: Job, handle: ModelHandle) -> None:
        self._job, self._handle, card = job, handle, handle.card
        self._make_rules = [make(card) for make in job.rules]

    def score(self, chunk: Chunk) -> Scored:
        """Return the output of a chunk."""
        card, job = self._handle.card, self._job
        table: ChunkTable = (
            CsvTable(chunk, card.features)
            if isinstance(chunk, CsvChunk)
            else ParquetTable(chunk, card.features)
        )
        selector = RowSelector(card, self._make_rules, each_note=job.each_note)
        found, result = self._answered(selector.select(table), table.places)
        predictions, probabilities = limited(result, card, job.limits)
        columns = as_columns(
            predictions, probabilities if job.probabilities else None, outputs=card.outputs
        )
        if not predictions:
            columns = [[] for _ in job.answers]
        kept = table.kept(found.indices)
        part = (
            as_csv([*kept, *columns])
            if isinstance(chunk, CsvChunk)
            else as_stream(kept, job.kept, job.answers, columns)
        )
        refused = {note.place for note in found.notes if note.done == "refused"}
        notes = sorted(found.notes, key=lambda note: note.place)
        read = len(found.indices) + len(refused)
        return Scored(part, read, len(found.indices), notes, selector.counts)

    def _answered(self, found: Selection, places: Sequence[int]) -> tuple[Selection, Result]:
        """Ask the model, without the rows that it cannot answer while it answers others."""
        # One thread, everywhere: with others, sums may have other last bits.
        with threadpool_limits(1):
            while found.indices:
                try:
                    return found, self._handle.predict(found.rows)
                except ModelFailed as failed:
                    if failed.row is None:
                        raise NotScored(
                            f"the model does not answer ({failed})",
                            "seal it again, or go back to another version",
                        ) from None
                    found = _without(found, failed.row, places)
        return found, Result([], [] if self._job.probabilities else None)


def _without(found: Selection, row: int, places: Sequence[int]) -> Selection:
    note = RowNote(places[found.indices[row]], "", "unanswerable", "refused")
    good = [each for each in range(len(found.indices)) if each != row]
    indices = [found.indices[each] for each in good]
    return Selection(taken(found.rows, good), indices, [*found.notes, note])


_lock = threading.Lock()
_loaded: dict[str, Scorer] = {}
_watched: set[int] = set()


def _scorer(job: Job, model: bytes | None, card: bytes | None) -> Scorer:
    """Return the model of a job, which is loaded once in each process."""
    with _lock:
        found = _loaded.get(job.key)
        if found is None:
            _loaded.clear()  # one model at a time: a worker of a cluster lives long
            found = _loaded[job.key] = Scorer(job, _load(job, model, card))
        return found


def _load(job: Job, model: bytes | None, card: bytes | None) -> ModelHandle:
    # Here, because it imports scikit-learn: the process that only cuts files does without.
    from secureml.models.serving.verification import prove  # noqa: PLC0415

    if model is not None and card is not None:
        artifact = Artifact(job.name, job.version, model, card, None)
    elif job.folder is not None:
        artifact = ModelFolder(job.folder).artifact(job.name, job.version)
    else:
        raise NotScored("a worker was given no model", "begin the run again")
    if (artifact.digest, hashlib.sha256(artifact.card_bytes).hexdigest()) != job.digests:
        raise NotScored(
            f"the model {job.name} version {job.version} that a worker reads is not the one that "
            "was verified",
            "have all workers read the same folder, or let the run send the model",
        )
    return prove(artifact, (), job.allowed)


def _end_with(parent: int) -> None:
    """Have this worker process end when the one that started it is gone, killed or not."""
    with _lock:
        if parent in _watched:
            return
        _watched.add(parent)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def forget_models() -> None:
    """Drop what was loaded in this process."""
    with _lock:
        _loaded.clear()
