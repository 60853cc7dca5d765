"""Runs over files in this process: whole, stopped and taken up again, with rows of all kinds."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from plugins.input_rules.validation import ValidationPolicy
from plugins.output_rules.fidelity import Fidelity
from plugins.output_rules.plugin import _limited
from secureml.scoring import backends, csv_file
from secureml.scoring import run as run_module
from secureml.scoring.refused import NotScored
from secureml.scoring.rules import PluginRules
from secureml.scoring.task import score_chunk
from tests.secureml.scoring.conftest import MIXED, rules_of

HEAD = "id,c,a,b\n"


def numbers(count, begin=0):
    return "".join(f"r{n},{n % 11},{n % 60},{n % 30 + 0.25}\n" for n in range(begin, begin + count))


def rows_in(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text(HEAD + numbers(50))
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.csv"


class Killed(BaseException):
    """The end of a process, at any moment."""


def ended_after(monkeypatch, chunks):
    """Have a run end, as if by a signal, when it has scored so many chunks."""
    left = iter(range(chunks))

    def once(*words):
        if next(left, None) is None:
            raise Killed
        return score_chunk(*words)

    monkeypatch.setattr(run_module, "score_chunk", once)


def test_every_row_has_the_answer_of_the_model_to_the_bit(plain, run, source, out):
    summary = run(plain, source, keep=("id",), probabilities=True)

    found = rows_in(out)
    read = plain.handle.read([[n % 60, n % 30 + 0.25, n % 11] for n in range(50)])
    expected = [plain.handle.predict(read[at : at + 7]) for at in range(0, 50, 7)]
    assert [row["prediction"] for row in found] == [
        label for part in expected for label in part.predictions
    ]
    shares = [share for part in expected for share in part.probabilities]
    assert [[float(row[f"probability_{c}"]) for c in "xyz"] for row in found] == shares
    assert [row["id"] for row in found] == [f"r{n}" for n in range(50)]
    assert summary == (1, 50, 50, {}, {}, 0)


def test_several_outputs_have_a_column_each(regression, run, source, out):
    run(regression, source, ignore=("id",))

    assert [float(rows_in(out)[4][f"prediction_{at}"]) for at in (0, 1)] == pytest.approx(
        [12, 6], abs=3
    )
    assert list(rows_in(out)[0]) == ["prediction_0", "prediction_1"]


def test_only_the_owner_can_read_the_output_and_nothing_else_stays(plain, run, source, tmp_path):
    run(plain, source, keep=("id",), report=tmp_path / "report.jsonl")

    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv", "report.jsonl"}
    for name in ("out.csv", "report.jsonl"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_file_without_rows_becomes_a_header(plain, run, source, out):
    source.write_text(HEAD)

    assert run(plain, source, keep=("id",)).read == 0
    assert out.read_text() == "id,prediction\n"


@pytest.mark.parametrize("chunks", [0, 1, 3, 7])
def test_a_run_that_was_killed_goes_on_and_its_output_is_the_same(
    plain, run, source, out, tmp_path, monkeypatch, chunks
):
    words = {"keep": ("id",), "probabilities": True, "report": tmp_path / "r.jsonl",
             "skip_bad_rows": True}  # fmt: skip
    source.write_text(HEAD + numbers(20) + "bad,1,x,2\n" + numbers(30, 20))
    run(plain, source, **words)
    expected = out.read_bytes(), (tmp_path / "r.jsonl").read_bytes()
    out.unlink()
    (tmp_path / "r.jsonl").unlink()
    with monkeypatch.context() as patch:
        ended_after(patch, chunks)
        with pytest.raises(Killed):
            run(plain, source, **words)
    assert not out.exists()
    ended_after(monkeypatch, 8 - chunks)  # nothing is scored twice
    summary = run(plain, source, **words)

    assert (out.read_bytes(), (tmp_path / "r.jsonl").read_bytes()) == expected
    assert (summary.read, summary.answered, summary.resumed) == (51, 50, 7 * chunks)


@pytest.mark.parametrize("moment", ["announce", "drop_parts", "_publish_report"])
def test_a_run_that_was_killed_while_it_published_goes_on(
    plain, run, source, out, tmp_path, monkeypatch, moment
):
    report = tmp_path / "r.jsonl"
    run(plain, source, keep=("id",), report=report)
    expected = out.read_bytes()
    out.unlink()
    report.unlink()

    def end(*_):
        raise Killed

    with monkeypatch.context() as patch:
        owner = run_module._Run if moment.startswith("_") else run_module.Journal
        patch.setattr(owner, moment, end)
        with pytest.raises(Killed):
            run(plain, source, keep=("id",), report=report)
    run(plain, source, keep=("id",), report=report)

    assert out.read_bytes() == expected
    assert report.read_bytes() == b""


def test_an_input_that_was_changed_in_between_is_refused(plain, run, source, out, monkeypatch):
    with monkeypatch.context() as patch:
        ended_after(patch, 2)
        with pytest.raises(Killed):
            run(plain, source, keep=("id",))
    source.write_text(HEAD + numbers(49, 1))
    with pytest.raises(NotScored, match=r"in\.csv is not the one .*--restart to begin anew"):
        run(plain, source, keep=("id",))
    run(plain, source, keep=("id",), restart=True)

    assert rows_in(out)[0]["id"] == "r1"


def test_a_model_that_was_changed_in_between_is_refused(plain, run, source, monkeypatch):
    with monkeypatch.context() as patch:
        ended_after(patch, 2)
        with pytest.raises(Killed):
            run(plain, source, keep=("id",))
    other = plain._replace(
        model=plain.model.__class__(**{**vars(plain.model), "digests": ("0" * 64, "1" * 64)})
    )
    with pytest.raises(NotScored, match="score with m@1"):
        run(other, source, keep=("id",))


def test_rules_that_were_changed_in_between_are_refused(plain, run, source, monkeypatch):
    with monkeypatch.context() as patch:
        ended_after(patch, 2)
        with pytest.raises(Killed):
            run(plain, source, keep=("id",))
    rules = (plain.rules[0]._replace(settings={"ranges": "clip"}),)
    with pytest.raises(NotScored, match=r"other options or inputs: plugins\.input_rules"):
        run(plain, source, keep=("id",), rules=rules)


def test_a_bad_row_stops_the_run_and_the_message_says_where_it_is(plain, run, source, out):
    source.write_text(HEAD + numbers(30) + "bad,1,1,x\n" + numbers(20))
    with pytest.raises(
        NotScored, match=r"in\.csv, line 32, column 'b': type; fix: continue without"
    ):
        run(plain, source, keep=("id",))

    assert not out.exists()
    summary = run(plain, source, keep=("id",), skip_bad_rows=True)
    assert (summary.resumed, summary.refused) == (28, {"type": 1})
    assert len(rows_in(out)) == 50


def test_rows_that_were_skipped_stop_a_run_that_is_to_stop(plain, run, source, monkeypatch):
    source.write_text(HEAD + "bad,1,1,x\n" + numbers(30))
    with monkeypatch.context() as patch:
        ended_after(patch, 2)
        with pytest.raises(Killed):
            run(plain, source, keep=("id",), skip_bad_rows=True)
    with pytest.raises(NotScored, match="line 2, column 'b': type"):
        run(plain, source, keep=("id",))


def test_bad_rows_are_left_out_and_reported_by_place_and_code(plain, run, source, out, tmp_path):
    bad = ["b1,1,,2\n", "b2,1,2\n", "b3,1,1000,2\n", "b4,1,1e999,2\n", "b5,1,2,zwei\n"]
    source.write_text(HEAD + numbers(9) + "".join(bad) + numbers(5))
    report = tmp_path / "report.jsonl"
    summary = run(plain, source, ignore=("id",), skip_bad_rows=True, report=report)

    assert [json.loads(line) for line in report.read_text().splitlines()] == [
        {"file": str(source), "line": line, "column": column, "code": code, "done": "refused"}
        for line, column, code in [
            (11, "a", "missing_value"), (12, "", "feature_count"), (13, "a", "above_maximum"),
            (14, "a", "not_finite"), (15, "b", "type"),
        ]
    ]  # fmt: skip
    assert (summary.read, summary.answered, sum(summary.refused.values())) == (19, 14, 5)
    assert len(rows_in(out)) == 14


def test_what_is_clipped_is_counted_and_reported(plain, run, source, out, tmp_path):
    source.write_text(HEAD + numbers(9) + "x,1,1000,2\n")
    clip = (rules_of(ValidationPolicy(ranges="clip")),)
    summary = run(plain, source, keep=("id",), rules=clip, report=tmp_path / "r.jsonl")

    assert summary.changed == {"clipped above_maximum": 1}
    assert json.loads((tmp_path / "r.jsonl").read_text()) == {
        "file": str(source), "line": 11, "column": "a", "code": "above_maximum", "done": "clipped",
    }  # fmt: skip
    assert (
        rows_in(out)[9]["prediction"]
        == plain.handle.predict(plain.handle.read([[59 + 5.9, 2, 1]])).predictions[0]
    )


def test_answers_are_no_finer_than_the_settings_let_callers_see(plain, run, source, out):
    limits = PluginRules("output_rules", {}, None, lambda *w: _limited(Fidelity(decimals=1), *w))
    run(plain, source, keep=("id",), probabilities=True, rules=(*plain.rules, limits))

    shares = {row["probability_x"] for row in rows_in(out)}
    assert all(len(share) <= 3 for share in shares)


def test_output_that_is_there_is_refused_before_anything_is_read(plain, run, source, out):
    out.write_text("mine")
    source.write_text("nothing of use")
    with pytest.raises(NotScored, match="exists already; fix: --force"):
        run(plain, source)
    assert out.read_text() == "mine"

    source.write_text(HEAD + numbers(3))
    run(plain, source, keep=("id",), force=True)
    assert len(rows_in(out)) == 3


def test_columns_of_the_output_have_one_name_each(plain, run, source):
    source.write_text("prediction,a,b,c\n1,2,3,4\n")
    with pytest.raises(NotScored, match="two columns of the output would be called 'prediction'"):
        run(plain, source, keep=("prediction",))


def test_a_folder_becomes_a_folder_and_goes_on_where_it_was_killed(
    plain, run, tmp_path, monkeypatch
):
    (tmp_path / "in").mkdir()
    for name, count in (("a.csv", 10), ("b.csv", 25), ("c.csv", 3)):
        (tmp_path / "in" / name).write_text(HEAD + numbers(count))
    with monkeypatch.context() as patch:
        ended_after(patch, 3)
        with pytest.raises(Killed):
            run(plain, tmp_path / "in", tmp_path / "out", keep=("id",))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.csv", ".score"}

    summary = run(plain, tmp_path / "in", tmp_path / "out", keep=("id",))
    assert summary == (3, 38, 38, {}, {}, 17)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.csv", "b.csv", "c.csv"}
    assert [row["id"] for row in rows_in(tmp_path / "out/b.csv")] == [f"r{n}" for n in range(25)]


def test_a_file_that_changes_while_it_is_read_is_noticed(plain, run, source, monkeypatch):
    def change(*words):
        source.write_text(HEAD + numbers(50) + "\n")
        return score_chunk(*words)

    monkeypatch.setattr(run_module, "score_chunk", change)
    with pytest.raises(NotScored, match="was changed while it was read"):
        run(plain, source, keep=("id",))


def test_frames_with_missing_values_truths_and_categories_are_scored(mixed, run, tmp_path, out):
    table = MIXED.head(40)
    table.to_csv(tmp_path / "in.csv", index=False)
    summary = run(mixed, tmp_path / "in.csv", probabilities=True)

    assert summary.answered == 40
    cells = table.astype(object).where(table.notna(), None).to_dict("list")
    rows = mixed.handle.read(
        [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    )
    expected = mixed.handle.predict(rows)
    assert [row["prediction"] == "true" for row in rows_in(out)] == expected.predictions
    shares = [[float(row[f"probability_{c}"]) for c in ("false", "true")] for row in rows_in(out)]
    assert shares == expected.probabilities


@pytest.mark.parametrize("local", [True, False])
def test_workers_end_with_the_command_only_where_it_has_started_them(plain, run, source, local):
    jobs = []

    class Workers:
        def run(self, function, calls):
            for number, chunk, job, model, card, data in calls:
                jobs.append(job)
                yield function(number, chunk, replace(job, parent=0), model, card, data)

    run(plain, source, keep=("id",), local=local, workers=lambda _: nullcontext(Workers()))

    assert {job.parent for job in jobs} == {os.getpid() if local else 0}


def test_a_worker_that_is_lost_ends_the_run_in_one_line_and_it_continues(
    plain, run, source, out, monkeypatch
):
    def lose(*_):
        raise MemoryError("no\nmore")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "score_chunk", lose)
        with pytest.raises(NotScored, match=r"a worker failed \(MemoryError: no more\); fix: give"):
            run(plain, source, keep=("id",))
    run(plain, source, keep=("id",))

    assert len(rows_in(out)) == 50


def test_the_report_is_a_file_of_its_own(plain, run, source, out):
    for report in (out, source):
        with pytest.raises(NotScored, match="would be two files at once"):
            run(plain, source, keep=("id",), report=report)
    assert source.read_text().startswith(HEAD)


def test_memory_does_not_grow_with_the_file(plain, run, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "_BLOCK", 16 * 1024)
    peaks = []
    for count in (2_000, 2_000, 40_000):  # the first one loads the model
        source = tmp_path / f"{count}.csv"
        source.write_text(HEAD + numbers(count))
        tracemalloc.start()
        run(plain, source, tmp_path / "o.csv", keep=("id",), chunk_rows=1000, force=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[2] < 1.3 * peaks[1]


def test_threads_give_the_same_output(plain, run, source, out, tmp_path):
    run(plain, source, keep=("id",), probabilities=True)
    run(plain, source, tmp_path / "threads.csv", keep=("id",), probabilities=True,
        workers=lambda _: backends.local(3, threads=True))  # fmt: skip

    assert (tmp_path / "threads.csv").read_bytes() == out.read_bytes()
    assert np.isfinite(float(rows_in(out)[0]["probability_x"]))
