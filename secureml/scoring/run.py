"""A run: chunks of all files scored, journaled as they come, and put together in their order."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from secureml.models.artifact.version_files import ModelRefused
from secureml.scoring.answers import check_probabilities, columns_of
from secureml.scoring.backends import Workers
from secureml.scoring.journal import Journal
from secureml.scoring.order import Options, SealedModel, Summary
from secureml.scoring.progress import Progress
from secureml.scoring.refused import NotScored, RowNote
from secureml.scoring.rules import PluginRules
from secureml.scoring.sources import Choice, Source, open_source
from secureml.scoring.targets import Files, check_target, make_folder, publish
from secureml.scoring.task import Job, Scored, score_chunk

OpenWorkers = Callable[[list[bytes]], AbstractContextManager[Workers]]
MakeProgress = Callable[[int, int], Progress]


def score(
    model: SealedModel,
    files: Files,
    options: Options,
    plugins: Sequence[PluginRules],
    open_workers: OpenWorkers,
    make_progress: MakeProgress,
) -> Summary:
    """Score all files, or what is left of them; raises NotScored, ModelRefused and OSError."""
    limits = [(each.plugin, each.answers) for each in plugins if each.answers is not None]
    if options.probabilities:
        check_probabilities(model.card, limits)
    targets = [pair.target for pair in files.pairs]
    targets += [] if options.report is None else [options.report]
    if files.journal.name == ".score":
        make_folder(files.journal.parent)
    _check_targets(targets, [pair.source for pair in files.pairs])
    journal = Journal(files.journal)
    finished = False
    try:
        if journal.is_new or options.restart:
            for target in targets:
                check_target(target, force=options.force)
        run = _Run(model, files, options, plugins, journal)
        summary = run.score(open_workers, make_progress)
        finished = True
    finally:
        journal.close(finished=finished)
    return summary


def _check_targets(targets: Sequence[Path], sources: Sequence[Path]) -> None:
    places = [path.resolve() for path in (*targets, *sources)]
    for target, count in Counter(places).items():
        if count > 1:
            raise NotScored(f"{target} would be two files at once", "name another file")
    for target in targets:
        if not target.parent.is_dir():
            raise NotScored(f"{target.parent} is no folder", "make it first")


class _Run:
    """The state of one run."""

    def __init__(
        self,
        model: SealedModel,
        files: Files,
        options: Options,
        plugins: Sequence[PluginRules],
        journal: Journal,
    ) -> None:
        self._model, self._options, self._journal = model, options, journal
        card = model.card
        self._answers = columns_of(card, probabilities=options.probabilities)
        _check_names(options.keep, [each.name for each in self._answers])
        choice = Choice(options.keep, options.ignore, options.stated)
        self._sources: list[Source] = [
            open_source(pair, card, choice, options.chunk_rows) for pair in files.pairs
        ]
        record = self._record(plugins)
        self._resumed = journal.begin(record, restart=options.restart)
        self._job = self._make_job(plugins, record)
        self._left: list[set[int]] = []  # of each file, the chunks that are not finished
        self._failure: BaseException | None = None
        self._bad: tuple[int, RowNote] | None = None

    def _record(self, plugins: Sequence[PluginRules]) -> dict[str, Any]:
        card, digests = self._model.card, self._model.digests
        return {
            "model": {
                "name": card.name,
                "version": card.version,
                "model_sha256": digests[0],
                "card_sha256": digests[1],
            },
            "options": self._options.recorded()
            | {f"plugins.{each.plugin}": dict(each.settings) for each in plugins},
            "inputs": [
                {
                    "file": source.pair.source.name,
                    "size": source.plan.size,
                    "sha256": source.plan.sha256,
                }
                for source in self._sources
            ],
        }

    def _make_job(self, plugins: Sequence[PluginRules], record: Mapping[str, Any]) -> Job:
        model, card = self._model, self._model.card
        said = {key: record[key] for key in ("model", "options")}
        return Job(
            key=hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest(),
            name=card.name,
            version=card.version,
            digests=model.digests,
            folder=None if model.sent else model.root.resolve(),
            allowed=model.allowed,
            rules=tuple(each.rows for each in plugins if each.rows is not None),
            limits=tuple(each.answers for each in plugins if each.answers is not None),
            kept=self._options.keep,
            answers=self._answers,
            probabilities=self._options.probabilities,
            each_note=self._options.report is not None,
            parent=os.getpid() if self._options.local else 0,
        )

    def score(self, open_workers: OpenWorkers, make_progress: MakeProgress) -> Summary:
        """Score what is left, and put every file together as its last chunk is there."""
        self._look_at_what_is_left()
        before = sum(
            source.plan.spans[chunk].rows
            for source, left in zip(self._sources, self._left, strict=True)
            for chunk in range(len(source.plan.spans))
            if chunk not in left
        )
        total = sum(source.plan.rows for source in self._sources)
        for number, left in enumerate(self._left):
            if not left:
                self._publish(number)
        if any(self._left):
            progress = make_progress(total, before)
            try:
                self._score_left(open_workers, progress)
            finally:
                progress.end()
        self._raise_if_stopped()
        self._publish_report()
        return self._summary(before if self._resumed else 0)

    def _look_at_what_is_left(self) -> None:
        for number, source in enumerate(self._sources):
            chunks = range(len(source.plan.spans))
            published = self._journal.is_published(number, source.pair.target)
            if not published:
                check_target(source.pair.target, force=self._options.force)
            self._left.append(
                {
                    chunk
                    for chunk in chunks
                    if not self._is_finished(number, chunk, published=published)
                }
            )

    def _is_finished(self, number: int, chunk: int, *, published: bool) -> bool:
        record = self._journal.record_of(number, chunk, published=published)
        # Rows may have been left out before that are to stop this run.
        return record is not None and (self._options.skip_bad_rows or not record["refused"])

    def _score_left(self, open_workers: OpenWorkers, progress: Progress) -> None:
        sent = list(self._model.sent or ())
        try:
            with open_workers(sent) as workers:
                for number, chunk, scored in workers.run(_numbered, self._calls()):
                    self._keep(number, chunk, scored)
                    progress.add(self._sources[number].plan.spans[chunk].rows)
        except (NotScored, ModelRefused, OSError):
            raise
        except Exception as error:  # whatever libraries raise where a worker is lost
            raise NotScored(
                f"a worker failed ({type(error).__name__}: {' '.join(str(error).split())[:300]})",
                "give the same command again, and it continues; where memory is short, with fewer "
                "--workers or, with --restart, a smaller --chunk-rows",
            ) from error

    def _calls(self) -> Iterator[tuple[Any, ...]]:
        """Yield what is to be called. It is asked by threads of joblib's, and must not raise."""
        model, card = self._model.sent or (None, None)
        try:
            for number, source in enumerate(self._sources):
                for chunk, data in source.chunks(sorted(self._left[number])):
                    if self._bad is not None:
                        return
                    yield number, chunk, self._job, model, card, data
        except Exception as error:  # noqa: BLE001 - raised again by who waits for the results
            self._failure = error

    def _keep(self, number: int, chunk: int, scored: Scored) -> None:
        refused = [note for note in scored.notes if note.done == "refused"]
        if refused and not self._options.skip_bad_rows:
            found = number, refused[0]
            self._bad = min(self._bad or found, found, key=lambda each: (each[0], each[1].place))
            return
        source = self._sources[number]
        file, unit = str(source.pair.source), source.unit
        report = "".join(
            json.dumps(note.as_record(file, unit)) + "\n"
            for note in (scored.notes if self._options.report else ())
        )
        codes = Counter(code for _, code in {(note.place, note.code) for note in refused})
        record = {
            "read": scored.read,
            "answered": scored.answered,
            "refused": dict(codes),
            "changed": scored.counts,
        }
        self._journal.keep(number, chunk, scored.part, report.encode(), record)
        self._left[number].discard(chunk)
        if not self._left[number]:
            self._publish(number)

    def _publish(self, number: int) -> None:
        source, journal = self._sources[number], self._journal
        spans = source.plan.spans
        if not journal.is_published(number, source.pair.target):
            whole = journal.whole(number)
            parts = (journal.part(number, chunk) for chunk in range(len(spans)))
            source.write(whole, parts, self._answers)
            journal.announce(number, whole)
            publish(whole, source.pair.target, force=self._options.force)
        journal.drop_parts(number, spans)

    def _publish_report(self) -> None:
        report, number = self._options.report, len(self._sources)
        if report is None or self._journal.is_published(number, report):
            return
        whole = self._journal.whole(number)
        with whole.open("wb") as file:
            counts = [len(source.plan.spans) for source in self._sources]
            file.writelines(self._journal.reports(counts))
        self._journal.announce(number, whole)
        publish(whole, report, force=self._options.force)

    def _raise_if_stopped(self) -> None:
        if self._bad is not None:
            number, note = self._bad
            source = self._sources[number]
            column = f", column {note.column!r}" if note.column else ""
            raise NotScored(
                f"{source.pair.source}, {source.unit} {note.place}{column}: {note.code}",
                "continue without such rows by the same command with --bad-rows skip, or correct "
                "the row and begin anew with --restart",
            )
        if self._failure is not None:
            raise self._failure

    def _summary(self, resumed: int) -> Summary:
        read = answered = 0
        refused: Counter[str] = Counter()
        changed: Counter[str] = Counter()
        for number, source in enumerate(self._sources):
            for record in self._journal.records(number, len(source.plan.spans)):
                read += record["read"]
                answered += record["answered"]
                refused.update(record["refused"])
                changed.update(record["changed"])
        return Summary(len(self._sources), read, answered, dict(refused), dict(changed), resumed)


def _numbered(number: int, chunk: int, *call: Any) -> tuple[int, int, Scored]:
    """Score a chunk, and say which it is: results come in no order."""
    return number, chunk, score_chunk(*call)


def _check_names(kept: Sequence[str], answers: Sequence[str]) -> None:
    twice = [name for name, count in Counter([*kept, *answers]).items() if count > 1]
    if twice:
        raise NotScored(
            f"two columns of the output would be called {twice[0]!r}",
            "keep that column under another name, or leave it out of --keep",
        )
