"""``secureml models``: sealing, choosing and showing, each fault in one line."""

from __future__ import annotations

import json

import click
import joblib
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from secureml.cli import demo
from secureml.cli.main import secureml
from secureml.cli.models import models
from secureml.config_error import ConfigError
from secureml.models.card_section import CardSection
from secureml.pipeline import builtin_plugins


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A second model of the same data, and the demo's table."""
    folder = tmp_path_factory.mktemp("material")
    first, table = demo.train(folder)
    data = load_breast_cancer()
    second = folder / "second.joblib"
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    joblib.dump(model.fit(data.data, data.target), second)
    return first, second, table


@pytest.fixture
def ask(type_command, fresh_instance):
    """Type a `models` command for an instance of one's own."""

    def ask_it(*words):
        return type_command("models", *words, "--instance", fresh_instance)

    return ask_it


@pytest.fixture
def run(ask):
    """Return what a command prints for scripts."""

    def run_it(*words):
        said = ask(*words, "--json")
        assert (said.code, said.err) == (0, "")
        return json.loads(said.out)

    return run_it


def test_a_file_is_sealed_as_the_next_version_and_does_not_serve_yet(run, material, fresh_instance):
    _, second, table = material
    made = run("seal", second, "--name", "breast-cancer", "--data", table, "--target", "target")
    assert made == {
        "name": "breast-cancer",
        "version": "2",
        "folder": str(fresh_instance / "models/breast-cancer/2"),
        "features": 30,
        "ranges_from": "table",
        "notes": [
            (
                "version 1 is still in use; to have this one answer: "
                "secureml models use breast-cancer 2"
            )
        ],
    }
    assert run("list") == [
        {"name": "breast-cancer", "version": "1", "current": True},
        {"name": "breast-cancer", "version": "2", "current": False},
    ]


def test_sealed_with_use_it_serves_and_can_be_rolled_back(run, ask, material):
    _, second, table = material
    run("seal", second, "--name", "breast-cancer", "--data", table, "--use")
    assert [row["version"] for row in run("list") if row["current"]] == ["2"]
    chosen = {"name": "breast-cancer", "version": "1", "workers": 0}
    assert run("rollback", "breast-cancer") == chosen
    assert run("use", "breast-cancer", "2") == chosen | {"version": "2"}
    said = ask("rollback", "breast-cancer").out
    assert said.startswith("version 1 of breast-cancer answers from the next start on")


def test_the_file_that_serves_is_not_sealed_again_when_asked_not_to(run, material):
    first, second, table = material
    words = ["--name", "breast-cancer", "--data", table, "--unless-same"]
    assert run("seal", first, *words) == {"name": "breast-cancer", "made": False}
    assert run("seal", second, *words)["version"] == "2"
    assert run("seal", second, "--name", "new", "--data", table, "--unless-same")["version"] == "1"


def test_rules_are_sealed_with_the_model_and_other_rules_are_another_version(
    run, ask, material, tmp_path
):
    first, _, table = material
    rules = tmp_path / "rules.toml"
    words = ["--name", "ruled", "--data", table, "--rules", rules, "--unless-same"]
    rules.write_text('[[rules]]\nname = "order"\nrule = "`mean radius` <= `worst radius`"\n')

    assert run("seal", first, *words)["version"] == "1"
    assert run("seal", first, *words) == {"name": "ruled", "made": False}
    assert run("show", "ruled")["sections"]["input_rules"]["rules"][0]["name"] == "order"
    rules.write_text(rules.read_text() + 'action = "flag"\n')
    assert run("seal", first, *words)["version"] == "2"
    rules.write_text('[[rules]]\nname = "order"\nrule = "`mean radius` > `worst radius`"\n')
    refused = ask("seal", first, *words)
    assert refused.code
    assert "broken by" in refused.err


def test_the_demo_is_made_once(run):
    assert run("demo") == {"name": "breast-cancer", "made": False}
    assert run("demo", "--name", "other")["version"] == "1"


def test_a_card_is_shown(run, ask):
    card = run("show", "breast-cancer")
    assert (card["name"], card["version"], len(card["features"])) == ("breast-cancer", "1", 30)
    assert len(card["digest"]) == 64
    assert "scikit-learn" in card["versions"]
    assert run("show", "breast-cancer@1") == card
    assert "  mean radius: " in ask("show", "breast-cancer").out


def test_a_machine_that_serves_nothing_can_seal(type_command, tmp_path, material, demo_instance):
    """The key is on another machine than the service, best of all."""
    first, _, table = material
    key = demo_instance / "keys/model-signing.key"
    words = ["seal", first, "--name", "m", "--data", table, "--key", key, "--use"]
    said = type_command("models", *words, "--json", "--instance", tmp_path)
    assert said.code == 0, said.err
    assert json.loads(said.out)["version"] == "1"
    listed = type_command("models", "list", "--instance", tmp_path)
    assert listed.out == "* m 1\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("demo --name ../x", 1, "'../x' is not a model name"),
        ("seal {table} --name x", 1, "the file is no pickle, of joblib or otherwise"),
        ("seal {first} --name ../x --data {table}", 1, "'../x' is not a model name"),
        ("seal {first} --name x --key {table}", 2, "the sealing key cannot be read"),
        ("seal {first}", 2, "Missing option '--name'"),
        ("seal {first} --name x --data nowhere", 2, "does not exist"),
        ("show nope", 1, "there is no model 'nope'"),
        ("show ../x", 1, "'../x' is not a model name"),
        ("show breast-cancer@7", 1, "breast-cancer has no version 7"),
        ("show breast-cancer@../1", 1, "breast-cancer has no version ../1"),
        ("use breast-cancer 7", 1, "breast-cancer has no version 7"),
        ("use nope 1", 1, "there is no model 'nope'"),
        (
            "rollback breast-cancer",
            1,
            "breast-cancer has no earlier version to go back to: none was in use before",
        ),
        ("rollback ../x", 1, "'../x' is not a model name"),
    ],
)
def test_a_fault_is_one_line_and_changes_nothing(ask, run, material, words, code, says):
    first, _, table = material
    line = [word.format(first=first, table=table) for word in words.split()]
    plain, scripted = ask(*line), ask(*line, "--json")
    for said in (plain, scripted):
        assert (said.code, said.out, said.err.count("\n")) == (code, "", 1)
    assert says in plain.err
    assert says in json.loads(scripted.err)["error"]
    assert len(run("list")) == 1


@pytest.mark.parametrize("words", ["list", "show breast-cancer", "rollback breast-cancer"])
def test_a_pointer_that_points_nowhere_is_one_line(ask, fresh_instance, words):
    (fresh_instance / "models/breast-cancer/current").write_text("../../etc")
    (fresh_instance / "models/breast-cancer/previous").write_text("x")
    said = ask(*words.split())
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "does not hold a version; fix: run `secureml models use breast-cancer" in said.err


def test_a_missing_sealing_key_says_where_one_comes_from(ask, fresh_instance, material):
    (fresh_instance / "keys/model-signing.key").unlink()
    said = ask("seal", material[0], "--name", "x")
    assert said.code == 2
    assert said.err.startswith(f"secureml: {fresh_instance / 'keys/model-signing.key'}: ")
    assert said.err.endswith("fix: run `secureml init`, or name one with --key\n")


def test_the_list_may_be_empty(type_command, tmp_path):
    assert type_command("models", "list", "--instance", tmp_path).out == "no model is sealed yet\n"
    assert type_command("models", "list", "--instance", tmp_path, "--json").out == "[]\n"


def section_with(option):
    return type("Own", (CardSection,), {"options": (click.Option([option]),)})()


@pytest.mark.parametrize("option", ["--rules", "--name"])
def test_an_option_of_a_section_that_is_taken_stops_the_command(monkeypatch, option):
    sections = {**builtin_plugins.card_sections(), "acme_own": section_with(option)}
    monkeypatch.setattr("secureml.cli.models.card_sections", lambda context: sections)
    context = click.Context(models.commands["seal"], **secureml.context_settings)
    with pytest.raises(ConfigError, match=rf"\[plugins.acme_own\].*{option}"):
        models.commands["seal"].get_params(context)


def test_help_on_sealing_needs_no_settings_that_can_be_read(ask, fresh_instance):
    (fresh_instance / "secureml.toml").write_text("no settings")
    said = ask("seal", "--help")

    assert (said.code, said.err) == (0, "")
    assert "--rules" in said.out


def test_a_section_that_cannot_be_read_is_not_the_same(ask, run, material, fresh_instance):
    """What was changed on disk is sealed anew, and ends in no traceback."""
    first, _, table = material
    words = ["seal", first, "--name", "breast-cancer", "--data", table, "--target", "target"]
    card = fresh_instance / "models/breast-cancer/1/card.json"
    raw = json.loads(card.read_bytes())
    raw["sections"]["input_rules"] = {"public": {}, "private": {}}
    card.chmod(0o600)
    card.write_text(json.dumps(raw, sort_keys=True, separators=(",", ":")))

    assert run(*words, "--unless-same")["version"] == "2"
