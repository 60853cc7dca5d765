from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from secureml.models.serving.result import ModelFailed, Result
from secureml.scoring import task
from secureml.scoring.answers import columns_of
from secureml.scoring.chosen_columns import Columns
from secureml.scoring.csv_chunk import CsvChunk
from secureml.scoring.csv_file import CsvLayout
from secureml.scoring.refused import NotScored
from secureml.scoring.task import Job, Scorer, forget_models, score_chunk


@pytest.fixture(autouse=True)
def _no_model_of_another_test():
    forget_models()
    yield
    forget_models()


def job_of(sealed, **words):
    card = sealed.handle.card
    usual = {
        "key": "k", "name": card.name, "version": card.version, "digests": sealed.model.digests,
        "folder": sealed.model.root, "allowed": frozenset(),
        "rules": tuple(each.rows for each in sealed.rules), "limits": (), "kept": (),
        "answers": columns_of(card, probabilities=False), "probabilities": False,
        "each_note": False,
    }  # fmt: skip
    return Job(**usual | words)


def chunk_of(text):
    layout = CsvLayout(("a", "b", "c"), ",", ".", "utf-8", 6, 2)
    return CsvChunk("in.csv", text.encode(), 2, layout, Columns((0, 1, 2), ()))


def files_of(sealed):
    folder = sealed.model.root / "m/1"
    return (folder / "model.data").read_bytes(), (folder / "card.json").read_bytes()


def test_a_model_that_is_sent_answers_as_one_from_its_folder(plain):
    chunk = chunk_of("1,2,3\n50,20,3\n")
    found = score_chunk(job_of(plain), None, None, chunk)
    forget_models()
    sent = score_chunk(job_of(plain, folder=None), *files_of(plain), chunk)

    assert sent == found
    assert found.part == b"x\nz\n"


@pytest.mark.parametrize("which", [0, 1])
def test_a_model_with_another_digest_is_not_loaded(plain, which):
    digests = list(plain.model.digests)
    digests[which] = "0" * 64
    job = job_of(plain, digests=tuple(digests))
    with pytest.raises(NotScored, match="is not the one that was verified"):
        score_chunk(job, None, None, chunk_of("1,2,3\n"))
    with pytest.raises(NotScored, match="is not the one that was verified"):
        score_chunk(replace(job, folder=None), *files_of(plain), chunk_of("1,2,3\n"))


def test_bytes_that_were_changed_on_the_way_are_not_loaded(plain):
    model, card = files_of(plain)
    changed = model[:-1] + bytes([model[-1] ^ 1])
    with pytest.raises(NotScored, match="is not the one that was verified"):
        score_chunk(job_of(plain, folder=None), changed, card, chunk_of("1,2,3\n"))


def test_a_model_is_loaded_once_for_each_run(plain, monkeypatch):
    loads = []
    load = task._load
    monkeypatch.setattr(task, "_load", lambda *words: loads.append(1) or load(*words))
    for key in ("one", "one", "two", "two"):
        score_chunk(job_of(plain, key=key), None, None, chunk_of("1,2,3\n"))

    assert len(loads) == 2


def test_what_is_sent_to_workers_holds_no_model(plain):
    job = job_of(plain)
    sent = pickle.dumps((job, chunk_of("1,2,3\n")))

    assert b"sklearn" not in sent
    assert pickle.loads(sent)[0].digests == job.digests


def test_a_refusal_comes_back_from_a_worker_whole():
    came = pickle.loads(pickle.dumps(NotScored("what", "do this")))

    assert str(came) == "what; fix: do this"


class Failing:
    """A model that cannot answer a row with these first cells, alone or among others."""

    def __init__(self, sealed, *bad):
        self.card, self._bad = sealed.handle.card, bad

    def predict(self, rows):
        for at, row in enumerate(rows.tolist()):
            if row[0] in self._bad:
                raise ModelFailed("raised.ValueError", at)
        return Result([f"{row[0]:g}" for row in rows.tolist()])


def test_rows_that_the_model_cannot_answer_are_told_and_the_others_answered(plain):
    scorer = Scorer(job_of(plain), Failing(plain, 2, 4))
    found = scorer.score(chunk_of("1,2,3\n2,2,3\n3,2,3\n4,2,3\n"))

    assert found.part == b"1\n3\n"
    assert [tuple(note) for note in found.notes] == [
        (3, "", "unanswerable", "refused"), (5, "", "unanswerable", "refused"),
    ]  # fmt: skip
    assert (found.read, found.answered) == (4, 2)


def test_a_model_that_answers_nothing_stops_the_run(plain, monkeypatch):
    failing = Failing(plain)
    monkeypatch.setattr(
        failing, "predict", lambda _: (_ for _ in ()).throw(ModelFailed("raised.ValueError"))
    )
    with pytest.raises(NotScored, match=r"the model does not answer \(raised\.ValueError\)"):
        Scorer(job_of(plain), failing).score(chunk_of("1,2,3\n"))


def test_a_worker_ends_with_the_process_that_started_it(monkeypatch):
    class Ended(BaseException):
        pass

    def end(code):
        raise Ended(code)

    parents = iter((7, 7, 1))
    monkeypatch.setattr(task.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(task.time, "sleep", lambda _: None)
    monkeypatch.setattr(task.os, "_exit", end)
    with pytest.raises(Ended):
        task._watch(7)
