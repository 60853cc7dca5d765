"""``secureml models assess``: what it prints, writes and refuses."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from secureml.cli import demo


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The demo's table in two halves: the model was fitted on both, so neither is a member less."""
    folder = tmp_path_factory.mktemp("tables")
    _, table = demo.train(folder)
    head, *rows = table.read_text().splitlines(keepends=True)
    for name, part in {"one": rows[:300], "two": rows[300:], "few": rows[:20]}.items():
        (folder / f"{name}.csv").write_text("".join([head, *part]))
    return folder


@pytest.fixture
def ask(type_command, fresh_instance):
    def ask_it(*words):
        return type_command("models", *words, "--instance", fresh_instance)

    return ask_it


def test_it_prints_tables_and_the_lines_to_paste_and_shows_its_progress(ask, tables, tmp_path):
    plot = tmp_path / "figure.svg"
    said = ask("assess", "breast-cancer", "--data", tables / "one.csv", "--plot", plot)
    assert said.code == 0
    assert "extraction: questions to 90 % agreement" in said.out
    assert "[[plugins.output_rules.grants]]" in said.out
    assert "membership: not measured: it needs rows that the model has not seen" in said.out
    assert "extraction" in said.err
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")


def test_for_scripts_it_prints_everything_as_json_and_nothing_else(ask, tables):
    words = ("--data", tables / "one.csv", "--holdout", tables / "two.csv", "--target", "target")
    said = ask("assess", "breast-cancer", *words, "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert found["version"] == "1"
    assert found["membership"]["members"] == 300
    # Both halves are of the training table.
    assert max(each["auc"] for each in found["membership"]["attacks"]) < 0.65
    assert found["recommended"]["form"] in found["forms"]


def test_a_table_that_is_too_small_is_refused_with_a_fix(ask, tables):
    said = ask("assess", "breast-cancer", "--data", tables / "few.csv")
    assert said.code == 1
    assert "has 20 rows, and 40 are needed; fix: give the whole training table" in said.err


def test_a_model_or_version_that_is_not_there_is_refused(ask, tables):
    said = ask("assess", "nothing", "--data", tables / "one.csv")
    assert (said.code, "there is no model 'nothing'" in said.err) == (1, True)
    said = ask("assess", "breast-cancer@9", "--data", tables / "one.csv")
    assert (said.code, "has no version 9" in said.err) == (1, True)


def test_the_card_of_a_sealed_model_has_the_short_form_and_show_prints_it(ask):
    said = ask("show", "breast-cancer", "--json")
    assert json.loads(said.out)["assessment"]["extraction"].keys() == {
        "labels", "2 decimals", "full",
    }  # fmt: skip
    assert "assessment: evasion" in ask("show", "breast-cancer").out


def test_it_is_left_out_on_request(ask, tables, fresh_instance):
    file = tables / "breast-cancer.joblib"
    words = ("--name", "other", "--data", tables / "one.csv", "--target", "target")
    assert ask("seal", file, *words, "--no-assess").code == 0
    assert "assessment" not in json.loads(ask("show", "other", "--json").out)
