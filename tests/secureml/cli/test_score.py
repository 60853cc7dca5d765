"""``secureml score`` as it is typed: what it writes, prints, records and refuses."""

from __future__ import annotations

import json

import pytest

from secureml.cli import demo


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The demo's table with a number for each row."""
    _, path = demo.train(tmp_path_factory.mktemp("demo"))
    head, *rows = path.read_text().splitlines()
    lines = [f"id,{head}", *(f"r{number},{row}" for number, row in enumerate(rows))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def ask(type_command, fresh_instance, tmp_path):
    """Return what types `secureml score breast-cancer`, with output into a folder of its own."""

    def ask_it(*words, output="out.csv", model="breast-cancer"):
        source, *rest = words
        found = ["score", model, source, tmp_path / output, "--instance", fresh_instance]
        return type_command(*found, "--workers", "1", *rest)

    return ask_it


def events(type_command, instance):
    said = type_command("events", "tail", "-n", "20", "--json", "--instance", instance)
    found = [json.loads(line) for line in said.out.splitlines()]
    return [each for each in found if each["event"].startswith("model_scoring")]


def test_it_answers_every_row_and_says_what_it_did(ask, table, tmp_path):
    said = ask(table, "--keep", "id", "--ignore", "target", "--probabilities")

    assert (said.code, said.out) == (
        0,
        f"{tmp_path / 'out.csv'}: 569 of 569 rows answered by breast-cancer version 1, 1 file\n",
    )
    assert "569 of 569 rows (100 %)" in said.err
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "id,prediction,probability_0,probability_1"
    assert len(lines) == 570


def test_scripts_get_json_and_no_progress(ask, table):
    said = ask(table, "--keep", "id,target", "--json", "--chunk-rows", "100")

    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out) == {
        "files": 1, "read": 569, "answered": 569, "refused": {}, "changed": {}, "resumed": 0,
        "model": "breast-cancer", "version": "1",
    }  # fmt: skip


def test_begin_and_end_are_recorded_with_who_runs_it(ask, table, type_command, fresh_instance):
    assert ask(table, "--ignore", "id,target").code == 0
    begun, ended = events(type_command, fresh_instance)

    assert begun["event"] == "model_scoring_started"
    assert begun["facts"].keys() == {"model", "version", "digest", "files", "user"}
    assert ended["event"] == "model_scoring_finished"
    assert {key: ended["facts"][key] for key in ("model", "version", "rows", "answered")} == {
        "model": "breast-cancer", "version": "1", "rows": "569", "answered": "569",
    }  # fmt: skip
    assert ended["facts"]["user"] == begun["facts"]["user"] != ""


def test_a_run_that_stops_is_recorded_and_says_where(ask, table, tmp_path, type_command,
                                                     fresh_instance):  # fmt: skip
    bad = tmp_path / "bad.csv"
    head, first, second, *_ = table.read_text().splitlines()
    bad.write_text("\n".join([head, first, second.replace(",", ",x", 1)]) + "\n")
    said = ask(bad, "--ignore", "id,target")

    assert said.code == 1
    assert "bad.csv, line 3, column 'mean radius': type; fix:" in said.err
    assert [each["event"] for each in events(type_command, fresh_instance)] == [
        "model_scoring_started", "model_scoring_stopped",
    ]  # fmt: skip


def test_bad_rows_are_skipped_on_request_and_the_rules_are_those_of_the_plugins(
    ask, table, tmp_path
):
    bad = tmp_path / "bad.csv"
    head, first, second, *_ = table.read_text().splitlines()
    number, _, rest = second.split(",", 2)
    bad.write_text("\n".join([head, first, f"{number},99999,{rest}"]) + "\n")
    report = tmp_path / "report.jsonl"
    said = ask(bad, "--ignore", "id,target", "--bad-rows", "skip", "--report", report)

    assert said.code == 0, said.err
    assert "left out: 1 rows above_maximum" in said.out
    assert json.loads(report.read_text())["column"] == "mean radius"


def test_probabilities_that_callers_do_not_see_are_not_written(ask, table, fresh_instance):
    with (fresh_instance / "secureml.toml").open("a") as settings:
        settings.write('\n[plugins.output_rules]\notherwise = "labels"\n')
    said = ask(table, "--ignore", "id,target", "--probabilities")

    assert (said.code, "[plugins.output_rules] keeps probabilities" in said.err) == (1, True)
    assert ask(table, "--ignore", "id,target").code == 0


def test_a_version_is_named_behind_the_model(ask, table):
    assert ask(table, "--ignore", "id,target", model="breast-cancer@1").code == 0
    said = ask(table, "--ignore", "id,target", model="breast-cancer@9", output="2.csv")
    assert (said.code, "version 9" in said.err) == (1, True)
    said = ask(table, model="nothing")
    assert "there is no model 'nothing'; fix: see `secureml models list`" in said.err


def test_a_model_that_was_changed_is_not_asked(ask, table, fresh_instance):
    file = fresh_instance / "models/breast-cancer/1/model.data"
    file.chmod(0o640)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    said = ask(table, "--ignore", "id,target")

    assert said.code == 1
    assert "signature: the model file changed after it was signed" in said.err


def test_output_that_is_there_is_kept(ask, table, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    said = ask(table, "--ignore", "id,target")

    assert (said.code, "exists already; fix: --force" in said.err) == (1, True)
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_what_is_left_out_of_a_folder_is_told(ask, table, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_bytes(table.read_bytes())
    (tmp_path / "in/notes.md").write_text("x")
    said = ask(tmp_path / "in", "--ignore", "id,target", output="out")

    assert "left out, by its name: notes.md" in said.err
    assert (tmp_path / "out/a.csv").exists()


def test_an_option_of_a_cluster_without_one_is_refused(ask, table):
    said = ask(table, "--ignore", "id,target", "--shared-models")

    assert (said.code, "--shared-models needs --cluster ADDRESS" in said.err) == (2, True)


def test_a_cluster_that_is_not_there_is_told_of(ask, table):
    pytest.importorskip("distributed")
    said = ask(table, "--ignore", "id,target", "--cluster", "nothing://x")

    assert said.code == 1
    assert "the Dask scheduler at nothing://x cannot be reached" in said.err
