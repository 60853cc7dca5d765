"""``check``, ``phases``, ``routes``: what would run, and every reason why it would not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from secureml.pipeline.phases import Phase


@pytest.fixture
def ask(type_command, fresh_instance):
    """Type a command for an instance of one's own."""

    def ask_it(*words):
        return type_command(*words, "--instance", fresh_instance)

    return ask_it


def change(folder, old, new):
    file = folder / "secureml.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def append(folder, text):
    with (folder / "secureml.toml").open("a") as file:
        file.write(text)


def change_byte(folder):
    file = folder / "models/breast-cancer/1/model.data"
    file.chmod(0o600)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


# -- check ----------------------------------------------------------------------------------------


def test_what_may_start_is_said_with_its_models(ask, fresh_instance):
    said = ask("check")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[:2] == [
        f"ready to start: {fresh_instance / 'secureml.toml'}",
        "model breast-cancer version 1",
    ]
    found = json.loads(ask("check", "--json").out)
    assert (found["ok"], found["profile"]) == (True, "development")
    assert (found["models"], found["accepted_risks"]) == ({"breast-cancer": "1"}, [])


def test_a_waived_risk_is_shown(ask, fresh_instance):
    change(fresh_instance, 'profile = "development"', 'profile = "production"')
    change(fresh_instance, "[secureml]\n", '[secureml]\naccept_risk = ["model_integrity"]\n')
    assert json.loads(ask("check", "--json").out)["accepted_risks"] == ["model_integrity"]


# What is spoilt, and what the one line must name: file, table and key, and the fault.
BAD = {
    "an unknown key": (
        lambda i: append(i, "[plugins.api_keys]\nheadr = 'X-Key'\n"),
        ["secureml.toml: [plugins.api_keys] headr: this key is unknown; fix: did you mean"],
    ),
    "a wrong type": (
        lambda i: append(i, "[payload]\ndepth = '8'\n"),
        ["secureml.toml: [payload] depth: This must be a whole number"],
    ),
    "an unknown table": (lambda i: append(i, "[ledger]\n"), ["secureml.toml: [ledger]: "]),
    "a literal secret": (
        lambda i: change(i, "file:keys/edge-token", "hunter2"),
        ["secureml.toml: [plugins.transport] edge_token: this must be a reference"],
    ),
    "a secret that is not there": (
        lambda i: (i / "keys/edge-token").unlink(),
        ["keys/edge-token: [plugins.transport] edge_token: "],
    ),
    "a key file its group can read": (
        lambda i: (i / "keys/model-signing.key").chmod(0o640),
        ["keys/model-signing.key: mode 0640 lets others in", "chmod 600 "],
    ),
    "settings that everyone can write": (
        lambda i: (i / "secureml.toml").chmod(0o666),
        ["secureml.toml: mode 0666 lets others in", "chmod 640 "],
    ),
    "a plugin misspelt": (
        lambda i: change(i, '"scopes"', '"scops"'),
        ["secureml.toml: [secureml] plugins: the plugin 'scops' cannot be imported"],
    ),
    "nobody at IDENTIFY": (
        lambda i: change(i, '"api_keys", ', ""),
        ["secureml.toml: [secureml] plugins: no plugin runs in IDENTIFY"],
    ),
    "a table without its plugin": (
        lambda i: change(i, '"transport", ', ""),
        ["secureml.toml: [plugins.transport]: this table configures a plugin that is not"],
    ),
    "a model with a changed byte": (change_byte, ["models: ", "breast-cancer version 1"]),
    "a missing model key": (
        lambda i: (i / "model_integrity/signing.pem").unlink(),
        ["secureml.toml: [plugins.model_integrity] keys: the public key signing.pem"],
    ),
    "a model without a version": (
        lambda i: (i / "models/breast-cancer/current").unlink(),
        ["models: ", "no version of breast-cancer is chosen"],
    ),
    "a folder of models misspelt": (
        lambda i: append(i, "[models]\nfolder = 'modells'\n"),
        ["[models] folder: the instance folder has no folder 'modells'", "did you mean 'models'?"],
    ),
    "a name of a module that is not there": (
        lambda i: append(i, "[models]\nallow = ['ourfeatures.Ratio']\n"),
        [
            "secureml.toml: [models] allow: ourfeatures.Ratio is named, and Python finds no mod",
            "PYTHONPATH=/path/to/folder before this command",
        ],
    ),
    "a name that its module has not": (
        lambda i: append(i, "[models]\nallow = ['sklearn.base.BaseEstimater']\n"),
        [
            "[models] allow: sklearn.base.BaseEstimater is named, and the module sklearn.base has",
            "did you mean 'BaseEstimator'?",
        ],
    ),
    "a name that nobody may allow": (
        lambda i: append(i, "[models]\nallow = ['os.system']\n"),
        ["[models] allow: os.system can run anything and is never allowed", "remove it from allow"],
    ),
    "a wildcard among the names": (
        lambda i: append(i, "[models]\nallow = ['acme.*']\n"),
        ["[models] allow: acme.* is not the exact name", "package.module.Name"],
    ),
    "a limit for a client that is not there": (
        lambda i: append(
            i, "[[plugins.rate_limit.limits]]\nfor = 'client:acme'\nallow = '5 per minute'\n"
        ),
        ["[plugins.rate_limit] limits.0.for: there is no client 'acme'", "clients add acme"],
    ),
    "a cost of a model that is not there": (
        lambda i: append(i, "[[plugins.rate_limit.costs]]\nmodel = 'breast-cancr'\nweight = 2\n"),
        ["costs.0.model: there is no model 'breast-cancr'", "did you mean 'breast-cancer'?"],
    ),
    "a limit on a route that is not there": (
        lambda i: append(
            i,
            "[[plugins.rate_limit.limits]]\nfor = 'client'\nroute = '/v1/modls'\n"
            "allow = '5 per minute'\n",
        ),
        ["[plugins.rate_limit] limits", "which is not a route", "did you mean '/v1/models'?"],
    ),
    "a grant for a client that is not there": (
        lambda i: append(
            i, "[[plugins.output_rules.grants]]\nclient = 'ward'\nanswer = 'labels'\n"
        ),
        ["[plugins.output_rules] grants.0.client: there is no client 'ward'"],
    ),
    "limits before who says where a request comes from": (
        lambda i: change(i, '"transport", "rate_limit"', '"rate_limit", "transport"'),
        ["[secureml] plugins: rate_limit comes before transport", "name transport before rate_li"],
    ),
    "no TOML": (lambda i: append(i, "[server\n"), ["secureml.toml: is not valid TOML"]),
    "a store that is none": (
        lambda i: append(i, "[store]\nurl = 'mysql://u:hunter2@h/d'\n"),
        ["secureml.toml: [store] url: "],
    ),
    "a certificate's folder that others can read": (
        lambda i: (i / "tls").chmod(0o755),
        ["tls: mode 0755 lets others in", "chmod 700 "],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_may_not_start_is_one_line_with_place_and_fix(ask, fresh_instance, case):
    spoil, names = BAD[case]
    spoil(fresh_instance)
    said = ask("check")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said.err
    assert said.err.startswith(f"secureml: {fresh_instance}")
    assert "hunter2" not in said.err
    for name in [*names, "; fix: "]:
        assert name in said.err
    scripted = ask("check", "--json")
    assert (scripted.code, scripted.err) == (2, "")
    found = json.loads(scripted.out)
    assert (found["ok"], f"secureml: {found['error']}\n") == (False, said.err)


def test_a_refused_model_beside_a_healthy_one_is_a_warning(ask, fresh_instance):
    models = fresh_instance / "models"
    shutil.copytree(models / "breast-cancer", models / "spoilt")
    (models / "spoilt/current").unlink()
    found = json.loads(ask("check", "--json").out)

    assert (found["ok"], found["models"]) == (True, {"breast-cancer": "1"})
    (warning,) = (each for each in found["warnings"] if "no version of spoilt" in each)
    assert warning.startswith("requests for this model are refused: ")
    assert warning[-len("VERSION`") :] == "VERSION`"  # the way out is the end of it
    strict = ask("check", "--every-model")
    assert (strict.code, strict.out, strict.err.count("\n")) == (2, "", 1)
    assert "no version of spoilt is chosen" in strict.err
    assert json.loads(ask("check", "--every-model", "--json").out)["ok"] is False
    shutil.rmtree(models / "spoilt")
    assert ask("check", "--every-model").code == 0


def test_check_changes_nothing(ask, fresh_instance):
    def files():
        """What is on disk; of the store what is in it, as SQLite tidies its own files."""
        found = {path: path.read_bytes() for path in fresh_instance.rglob("*") if path.is_file()}
        with closing(sqlite3.connect(fresh_instance / "secureml.db")) as store:
            rows = "\n".join(store.iterdump())
        return {path: text for path, text in found.items() if ".db" not in path.name} | {"db": rows}

    ask("check")  # makes the log it would write to
    before = files()
    ask("check")
    assert files() == before


# -- phases and routes ----------------------------------------------------------------------------


def test_the_phases_are_shown_in_order_also_to_scripts(ask):
    found = json.loads(ask("phases", "--json").out)
    assert list(found) == [phase.value for phase in Phase]
    assert (found["admit"], found["identify"]) == (
        ["transport", "rate_limit", "api_keys"],
        ["api_keys"],
    )
    lines = ask("phases").out.splitlines()
    assert [line.split()[0] for line in lines] == [phase.name for phase in Phase]
    assert lines[0].split() == ["ADMIT", "transport,", "rate_limit,", "api_keys"]
    assert lines[3].split() == ["LIMIT", "rate_limit"]
    assert lines[5].split() == ["SHAPE", "output_rules"]


def test_one_who_only_observes_is_marked(ask, fresh_instance):
    append(fresh_instance, '[plugins.input_rules]\nmode = "observe"\n')
    assert json.loads(ask("phases", "--json").out)["validate"] == ["rate_limit", "input_rules?"]


def test_the_phases_can_be_seen_while_a_model_is_bad(ask, fresh_instance):
    change_byte(fresh_instance)
    assert ask("phases").code == 0
    assert ask("routes").code == 2


def test_every_route_is_shown_with_what_it_demands(ask):
    rows = {row["path"]: row for row in json.loads(ask("routes", "--json").out)}
    assert rows["/v1/models/<model>/predict"] == {
        "path": "/v1/models/<model>/predict",
        "methods": ["POST"],
        "scope": "predict",
        "public": False,
    }
    assert {path for path, row in rows.items() if row["public"]} == {"/healthz", "/readyz"}
    assert all(row["scope"] for row in rows.values() if not row["public"])
    lines = [line.split() for line in ask("routes").out.splitlines()]
    assert ["GET", "/healthz", "public"] in lines
    assert ["POST", "/v1/models/<model>/predict", "predict"] in lines


def test_without_models_it_may_start_and_says_so(ask, fresh_instance):
    shutil.rmtree(fresh_instance / "models" / "breast-cancer")
    assert json.loads(ask("check", "--json").out)["models"] == {}
    assert "warning: no model is sealed;" in ask("check").out
    assert all(ask("check").out.splitlines())


def test_a_tier_that_no_client_has_is_a_warning(ask, fresh_instance):
    """The last client of a tier may leave it; that is no reason not to start."""
    limit = "[[plugins.rate_limit.limits]]\nfor = 'tier:gold'\nallow = '5 per minute'\n"
    append(fresh_instance, limit)
    said = ask("check")
    assert said.code == 0
    assert "warning: " in said.out
    assert "there is no tier 'gold'" in said.out
    assert ask("clients", "add", "acme", "--tier", "gold").code == 0
    assert "gold" not in ask("check").out


def test_names_that_are_there_pass(ask, fresh_instance):
    assert ask("clients", "add", "acme").code == 0
    append(
        fresh_instance,
        "[[plugins.rate_limit.limits]]\nfor = 'client:acme'\nallow = '5 per minute'\n"
        "model = 'breast-cancer'\n"
        "[[plugins.output_rules.grants]]\nclient = 'acme'\nscope = 'predict:full'\n"
        "answer = 'labels'\n",
    )
    said = ask("check")
    assert (said.code, said.err) == (0, "")
    # A scope that a grant asks for is one, and may be given.
    assert ask("clients", "set", "acme", "--scope", "predict:full").code == 0


@pytest.mark.parametrize("words", [["add", "a"], ["set", "there"]])
def test_a_right_to_nothing_is_not_given(ask, words):
    assert ask("clients", "add", "there").code == 0
    for more, says in (
        (["--scope", "predikt"], "did you mean 'predict'?"),
        (["--scope", "token"], "there is no scope 'token'"),  # jwt is not enabled here
        (["--model", "nomodel"], "the models here are breast-cancer;"),
    ):
        said = ask("clients", *words, *more)
        assert (said.code, said.err.count("\n")) == (1, 1)
        assert says in said.err
        assert "; fix: " in said.err


def test_what_check_says_of_a_name_it_says_once(ask, fresh_instance, caplog):
    """A start logs it as a warning; beside the refusal that would be a second line."""
    append(
        fresh_instance,
        "[[plugins.rate_limit.limits]]\nfor = 'client:acme'\nallow = '5 per minute'\n",
    )
    assert ask("check").code == 2
    assert caplog.text == ""
