"""``secureml models seal``: proved with what the start proves with, and all or nothing."""

from __future__ import annotations

import json
import re
import sys

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from plugins.audit_log.plugin import AuditLog
from secureml.app import create_app
from secureml.models.artifact import signature
from secureml.models.serving.registry import Registry

OWN = "own_module_for_sealing"
ROWS, ANSWERS = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 3.0], [3.0, 2.0]]), [0, 0, 1, 1]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A model that holds two functions of a module of one's own, as a file."""
    (tmp_path / f"{OWN}.py").write_text(
        "def twice(rows):\n    return rows * 2\n\n\ndef more(rows):\n    return rows + 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    module = import_module(OWN)
    model = make_pipeline(
        FunctionTransformer(module.twice), FunctionTransformer(module.more), LogisticRegression()
    )
    joblib.dump(model.fit(ROWS, ANSWERS), tmp_path / "own.joblib")
    return tmp_path / "own.joblib"


@pytest.fixture
def plain(tmp_path):
    joblib.dump(LogisticRegression().fit(ROWS, ANSWERS), tmp_path / "plain.joblib")
    return tmp_path / "plain.joblib"


@pytest.fixture
def ask(type_command, fresh_instance):
    def ask_it(*words):
        return type_command("models", *words, "--instance", fresh_instance)

    return ask_it


def tree(instance):
    """Return what is on disk of the models."""
    models = instance / "models"
    return {
        str(path.relative_to(models)): path.read_bytes() if path.is_file() else None
        for path in models.rglob("*")
    }


def allow(instance, *names):
    file = instance / "secureml.toml"
    line = ", ".join(f'"{name}"' for name in names)
    file.write_text(f"{file.read_text()}\n[models]\nallow = [{line}]\n")


def test_what_the_start_would_not_allow_is_not_sealed_and_the_line_to_write_is_told(
    ask, own, fresh_instance
):
    before = tree(fresh_instance)
    names = [f"--allow={OWN}.twice", f"--allow={OWN}.more"]
    for more in ([], ["--use"]):
        said = ask("seal", own, "--name", "breast-cancer", *names, *more)

        assert said.code == 2
        assert "[models] allow" in said.err
        assert f'allow = ["{OWN}.more", "{OWN}.twice"]' in said.err
        assert tree(fresh_instance) == before
    (line,) = re.findall(r"allow = \[.*?\]", said.err)
    file = fresh_instance / "secureml.toml"
    file.write_text(f"{file.read_text()}\n[models]\n{line}\n")
    sealed = ask("seal", own, "--name", "own", *names)
    assert sealed.code == 0, sealed.err
    app = create_app(fresh_instance)
    assert app.extensions["secureml"].models.names() == ["breast-cancer", "own"]
    app.extensions["secureml"].store.close()


def test_the_settings_are_enough_to_allow(ask, own, fresh_instance):
    allow(fresh_instance, f"{OWN}.twice", f"{OWN}.more")

    assert ask("seal", own, "--name", "own").code == 0


def test_all_that_is_missing_is_told_at_the_first_try(ask, own, fresh_instance):
    allow(fresh_instance, "other.Name")
    said = ask("seal", own, "--name", "own")

    assert said.code == 1
    assert f'allow = ["other.Name", "{OWN}.more", "{OWN}.twice"]' in said.err
    assert str(fresh_instance / "secureml.toml") in said.err


@pytest.mark.parametrize("words", [[], [f"--allow={OWN}.twice", f"--allow={OWN}.more"]])
def test_a_module_that_is_not_on_the_path_is_told_with_all_steps_in_their_order(
    ask, own, fresh_instance, monkeypatch, words
):
    """Followed step by step, the first message leads to a sealed model, and in no circle."""
    folder = str(own.parent)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != folder])
    sys.modules.pop(OWN)
    said = ask("seal", own, "--name", "own", *words)

    assert said.code != 0
    assert said.err.index("PYTHONPATH=/path/to/folder") < said.err.index("allow = [")
    (line,) = re.findall(r"allow = \[.*?\]", said.err)
    file = fresh_instance / "secureml.toml"
    file.write_text(f"{file.read_text()}\n[models]\n{line}\n")
    again = ask("seal", own, "--name", "own")
    assert f"Python finds no module {OWN} here" in again.err
    assert "allow = [" not in again.err
    monkeypatch.syspath_prepend(folder)
    assert ask("seal", own, "--name", "own").code == 0


def test_a_machine_that_only_seals_is_told_what_its_server_must_allow(
    type_command, own, tmp_path, demo_instance
):
    key = demo_instance / "keys/model-signing.key"
    words = ["--key", key, "--instance", tmp_path / "sealing", "--json"]
    names = [f"--allow={OWN}.twice", f"--allow={OWN}.more"]
    said = type_command("models", "seal", own, "--name", "own", *names, *words)

    assert said.code == 0, said.err
    (note,) = json.loads(said.out)["notes"]
    assert f'allow = ["{OWN}.more", "{OWN}.twice"]' in note


@pytest.mark.parametrize("words", [[], ["--use"]])
@pytest.mark.parametrize("name", ["breast-cancer", "new"])
def test_a_key_the_start_does_not_believe_seals_nothing(
    ask, plain, fresh_instance, tmp_path, name, words
):
    """A first version serves by itself, so it would have stopped the next start."""
    key = tmp_path / "other.key"
    key.write_bytes(signature.private_pem(signature.generate_key()))
    before = tree(fresh_instance)
    said = ask("seal", plain, "--name", name, "--key", key, *words)

    assert said.code == 1
    assert "signed with a key not trusted here" in said.err
    assert tree(fresh_instance) == before


def fails(self, event):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "words",
    [
        "seal {file} --name new",
        "seal {file} --name breast-cancer",
        "seal {file} --name breast-cancer --use",
        "use breast-cancer 2",
        "rollback breast-cancer",
        "remove breast-cancer@2",
        "remove breast-cancer --all",
    ],
)
def test_what_cannot_be_recorded_is_not_done(ask, plain, fresh_instance, monkeypatch, words):
    assert ask("seal", plain, "--name", "breast-cancer", "--use").code == 0
    assert ask("use", "breast-cancer", "1").code == 0
    before = tree(fresh_instance)
    monkeypatch.setattr(AuditLog, "on_event", fails)
    said = ask(*words.format(file=plain).split())

    assert said.code == 1
    assert tree(fresh_instance) == before


def test_a_pointer_that_cannot_be_written_leaves_no_version(
    ask, plain, fresh_instance, monkeypatch
):
    def full(*words):
        raise OSError(28, "No space left on device")

    before = tree(fresh_instance)
    monkeypatch.setattr(Registry, "point", full)
    for name in ("new", "breast-cancer"):
        assert ask("seal", plain, "--name", name, "--use").code == 1
        assert tree(fresh_instance) == before


def test_a_version_that_the_start_would_refuse_is_not_there_already(ask, own, fresh_instance):
    """`--unless-same` is for a start that seals: it must not leave what cannot serve."""
    allow(fresh_instance, f"{OWN}.twice", f"{OWN}.more")
    assert ask("seal", own, "--name", "own").code == 0
    assert "already" in ask("seal", own, "--name", "own", "--unless-same").out
    file = fresh_instance / "secureml.toml"
    file.write_text(file.read_text().replace(f', "{OWN}.more"', ""))
    said = ask("seal", own, "--name", "own", "--unless-same")
    assert said.code == 1
    assert f"{OWN}.more" in said.err


@pytest.mark.parametrize("words", ["--types a", "--types =text", "--types a="])
def test_a_dtype_that_says_nothing_is_refused(ask, plain, words):
    assert ask("seal", plain, "--name", "x", *words.split()).code in (1, 2)


def test_the_dtype_of_a_column_may_be_said(ask, plain, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a=b,c,y\n0,5,0\n1,4,0\n2,3,1\n3,2,1\n")
    words = ["--data", table, "--target", "y", "--types", "a=b=integer", "--json"]
    assert ask("seal", plain, "--name", "x", *words).code == 0
    features = json.loads(ask("show", "x", "--json").out)["features"]
    assert [feature["dtype"] for feature in features] == ["integer", "float"]


# -- remove ---------------------------------------------------------------------------------------


def test_a_version_is_removed_and_recorded(ask, plain, fresh_instance):
    ask("seal", plain, "--name", "breast-cancer")
    said = ask("remove", "breast-cancer@2", "--json")

    assert json.loads(said.out) == {"name": "breast-cancer", "removed": ["2"]}
    assert [row["version"] for row in json.loads(ask("list", "--json").out)] == ["1"]
    emitted = "".join(path.read_text() for path in (fresh_instance / "logs/audit").glob("*.jsonl"))
    assert '"model_removed"' in emitted


def test_the_version_that_serves_is_removed_only_with_the_whole_model(ask, fresh_instance):
    before = tree(fresh_instance)
    said = ask("remove", "breast-cancer@1")
    assert said.code == 1
    assert "secureml models use breast-cancer VERSION" in said.err
    assert tree(fresh_instance) == before
    assert ask("remove", "breast-cancer", "--all").code == 0
    assert tree(fresh_instance) == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("breast-cancer", 2),
        ("breast-cancer@1 --all", 2),
        ("breast-cancer@", 1),
        ("breast-cancer@7", 1),
        ("breast-cancer@../breast-cancer/1", 1),
        ("../models --all", 1),
        ("nope --all", 1),
    ],
)
def test_what_is_not_there_or_not_clear_is_not_removed(ask, fresh_instance, words, code):
    before = tree(fresh_instance)
    said = ask("remove", *words.split())

    assert (said.code, said.err.count("\n")) == (code, 1)
    assert tree(fresh_instance) == before


def test_one_command_allows_names_for_sealing_and_for_the_start(ask, own, fresh_instance):
    names = [f"{OWN}.twice", f"{OWN}.more"]
    said = ask("allow", *names)
    assert said.code == 0, said.err
    assert ", ".join(names) in said.out
    assert ask("allow", *names).out == "all of these are allowed already\n"
    assert ask("seal", own, "--name", "own").code == 0
    app = create_app(fresh_instance)
    assert app.extensions["secureml"].models.names() == ["breast-cancer", "own"]
    app.extensions["secureml"].store.close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("os.system", "can run anything and is never allowed"),
        ("no_such_module.Name", "Python finds no module no_such_module here"),
        ("own.*", "is not the exact name"),
    ],
)
def test_a_name_that_would_stop_the_start_is_not_written(ask, fresh_instance, name, says):
    before = (fresh_instance / "secureml.toml").read_bytes()
    said = ask("allow", name)

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert says in said.err
    assert (fresh_instance / "secureml.toml").read_bytes() == before


def test_without_settings_there_is_no_list_to_write_to(type_command, tmp_path):
    said = type_command("models", "allow", "json.JSONDecoder", "--instance", tmp_path)
    assert said.code == 1
    said = type_command("models", "allow", "click.Command", "--instance", tmp_path)
    assert said.code == 1
    assert "seal with --allow click.Command" in said.err


def test_a_version_that_is_refused_leaves_the_old_one_in_use_and_says_so(ask, own, fresh_instance):
    before = tree(fresh_instance)
    said = ask("seal", own, "--name", "breast-cancer", "--use")

    assert said.code == 1
    assert said.err.endswith("nothing was changed: breast-cancer 1 is still in use\n")
    assert tree(fresh_instance) == before


def test_one_estimator_of_several_is_sealed_by_its_key(ask, tmp_path):
    model, scaler = LogisticRegression().fit(ROWS, ANSWERS), FunctionTransformer().fit(ROWS)
    joblib.dump({"model": model, "scaler": scaler}, tmp_path / "both.joblib")
    said = ask("seal", tmp_path / "both.joblib", "--name", "both")
    assert said.code == 1
    assert "'model' (LogisticRegression)" in said.err
    assert "--entry model" in said.err

    said = ask("seal", tmp_path / "both.joblib", "--name", "both", "--entry", "model", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["features"] == 2
