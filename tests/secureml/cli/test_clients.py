"""``secureml clients``: who may call, said by an operator."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from secureml import Event
from secureml.cli.clients import clients as commands
from secureml.testing import Harness


class CommandContext:
    """What the root lends its commands."""

    def __init__(self, folder):
        self.harness = Harness(folder)
        self.instance, self.store = folder, self.harness.store
        self.clients = self.harness.clients

    def known_scopes(self):
        return frozenset({"predict", "models:read", "token", "x:y"})

    def known_models(self):
        return frozenset({"iris", "churn"})

    def emit(self, name, client="", **facts):
        self.harness.emitted.append(Event(name, client, facts))

    def type(self, *words):
        return CliRunner().invoke(commands, list(words), obj=self)

    def run(self, *words):
        """Return what a command prints for scripts."""
        done = self.type(*words, "--json")
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr or done.exception
        return json.loads(done.stdout)


@pytest.fixture
def context(tmp_path):
    made = CommandContext(tmp_path)
    yield made
    made.store.close()


def test_a_client_is_added_with_what_nearly_all_need(context):
    assert context.run("add", "acme") == {
        "name": "acme",
        "tier": "standard",
        "scopes": ["models:read", "predict"],
        "models": ["*"],
        "enabled": True,
        "created": "2026-01-01T00:00:00Z",
    }


def test_a_client_is_added_with_what_is_said(context):
    words = ["--tier", "gold", "--scope", "predict", "--scope", "x:y", "--model", "iris"]
    made = context.run("add", "acme", *words)
    assert (made["tier"], made["scopes"], made["models"]) == ("gold", ["predict", "x:y"], ["iris"])
    assert context.run("show", "acme") == made
    assert context.run("list") == [made]


def test_a_client_is_switched_off_and_on(context):
    context.run("add", "acme")
    assert context.run("disable", "acme") == {"name": "acme", "enabled": False}
    assert not context.clients.get("acme").enabled
    assert context.run("show", "acme")["enabled"] is False
    assert "DISABLED" in context.type("list").stdout
    assert context.run("enable", "acme") == {"name": "acme", "enabled": True}
    assert context.clients.get("acme").enabled


def test_the_list_is_in_order_and_may_be_empty(context):
    assert context.run("list") == []
    assert context.type("list").stdout == "no clients yet\n"
    for name in ("b", "a"):
        context.run("add", name)
    assert [row["name"] for row in context.run("list")] == ["a", "b"]
    assert [line.split()[0] for line in context.type("list").stdout.splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "taken"], "the client 'taken' exists already"),
        (["add", "Acme"], "'Acme' is not a valid client name"),
        (["add", "a", "--tier", "G!"], "'G!' is not a valid tier"),
        (["add", "a", "--scope", "Every Thing"], "is not a valid scope"),
        (["add", "a", "--scope", ""], "'' is not a valid scope"),
        (["add", "a", "--model", "../x"], "is not a valid model name"),
        (["add", "a", "--scope", "predikt"], "there is no scope 'predikt'; fix: did you mean 'pre"),
        (["add", "a", "--scope", "predikt@iris"], "there is no scope 'predikt'"),
        (["add", "a", "--scope", "predict@irris"], "there is no model 'irris'; fix: did you mean"),
        (["add", "a", "--model", "nomodel"], "there is no model 'nomodel'; fix: the models here a"),
        (["add", "a", "--model", "churm@2"], "did you mean 'churn'?"),
        (["set", "taken", "--scope", "tokn"], "did you mean 'token'?"),
        (["set", "taken", "--model", "nomodel"], "--allow-unknown"),
        (["show", "nobody"], "there is no client 'nobody'"),
        (["enable", "nobody"], "there is no client 'nobody'"),
        (["disable", "nobody"], "there is no client 'nobody'"),
    ],
)
def test_a_fault_is_one_line_and_for_scripts_it_is_json(context, words, says):
    before = [context.run("add", "taken")]
    plain, scripted = context.type(*words), context.type(*words, "--json")
    for done in (plain, scripted):
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
    assert plain.stderr.startswith("Error: ")
    assert says in plain.stderr
    assert says in json.loads(scripted.stderr)["error"]
    assert context.run("list") == before


def test_every_command_speaks_json(context):
    for command in commands.commands.values():
        assert "--json" in [option for found in command.params for option in found.opts]


def test_a_store_that_cannot_be_asked_is_one_line(context, tmp_path):
    context.run("add", "acme")
    (tmp_path / "secureml.db").unlink()
    done = context.type("disable", "acme")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: the store cannot be read (FileNotFoundError)\n"


def test_what_a_client_may_is_changed_and_what_is_not_named_stays(context):
    context.run("add", "acme", "--tier", "gold", "--scope", "predict")
    found = context.run("set", "acme", "--scope", "predict@churn@2", "--scope", "token")
    assert found["scopes"] == ["predict@churn@2", "token"]
    assert (found["tier"], found["models"]) == ("gold", ["*"])
    assert context.run("set", "acme", "--model", "churn@1")["models"] == ["churn@1"]
    assert context.run("show", "acme")["scopes"] == ["predict@churn@2", "token"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("set", "nobody", "--tier", "gold"), 1),
        (("set", "acme"), 2),
        (("set", "acme", "--scope", "predict@"), 1),
        (("set", "acme", "--model", "a@b"), 1),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(context, words, code):
    context.run("add", "acme")
    before = context.run("show", "acme")
    assert context.type(*words).exit_code == code
    assert context.run("show", "acme") == before


def test_every_change_is_told(context):
    context.run("add", "acme", "--scope", "predict")
    context.run("set", "acme", "--tier", "gold")
    context.run("disable", "acme")
    context.run("enable", "acme")
    context.run("list")
    rights = {"tier": "standard", "scopes": "predict", "models": "*"}
    assert context.harness.emitted == [
        Event("user_created", "acme", rights),
        Event("privilege_permissions_changed", "acme", rights | {"tier": "gold"}),
        Event("user_disabled", "acme"),
        Event("user_enabled", "acme"),
    ]


def test_a_right_to_what_comes_later_is_taken_when_that_is_said(context):
    made = context.run("add", "a", "--scope", "later", "--model", "not-yet@2", "--allow-unknown")
    assert (made["scopes"], made["models"]) == (["later"], ["not-yet@2"])
    changed = context.run("set", "a", "--scope", "predict@soon", "--allow-unknown")
    assert changed["scopes"] == ["predict@soon"]


def test_all_models_need_not_be_there(context):
    assert context.run("add", "a", "--model", "*")["models"] == ["*"]
