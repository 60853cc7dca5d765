"""``secureml clients``: who may call, said by an operator."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from secureml import Event
from secureml.cli.clients import clients as commands
from secureml.testing import Harness


class Desk:
    """What the root lends its commands."""

    def __init__(self, folder):
        self.harness = Harness(folder)
        self.instance, self.store = folder, self.harness.store
        self.clients = self.harness.clients

    def known_scopes(self):
        return frozenset({"predict", "models:read", "token", "x:y"})

    def known_models(self):
        return frozenset({"iris", "churn"})

    def tell(self, name, client="", **facts):
        self.harness.told.append(Event(name, client, facts))

    def type(self, *words):
        return CliRunner().invoke(commands, list(words), obj=self)

    def run(self, *words):
        """Return what a command prints for scripts."""
        done = self.type(*words, "--json")
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr or done.exception
        return json.loads(done.stdout)


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.store.close()


def test_a_client_is_added_with_what_nearly_all_need(desk):
    assert desk.run("add", "acme") == {
        "name": "acme",
        "tier": "standard",
        "scopes": ["models:read", "predict"],
        "models": ["*"],
        "enabled": True,
        "created": "2026-01-01T00:00:00Z",
    }


def test_a_client_is_added_with_what_is_said(desk):
    words = ["--tier", "gold", "--scope", "predict", "--scope", "x:y", "--model", "iris"]
    made = desk.run("add", "acme", *words)
    assert (made["tier"], made["scopes"], made["models"]) == ("gold", ["predict", "x:y"], ["iris"])
    assert desk.run("show", "acme") == made
    assert desk.run("list") == [made]


def test_a_client_is_switched_off_and_on(desk):
    desk.run("add", "acme")
    assert desk.run("disable", "acme") == {"name": "acme", "enabled": False}
    assert not desk.clients.get("acme").enabled
    assert desk.run("show", "acme")["enabled"] is False
    assert "DISABLED" in desk.type("list").stdout
    assert desk.run("enable", "acme") == {"name": "acme", "enabled": True}
    assert desk.clients.get("acme").enabled


def test_the_list_is_in_order_and_may_be_empty(desk):
    assert desk.run("list") == []
    assert desk.type("list").stdout == "no clients yet\n"
    for name in ("b", "a"):
        desk.run("add", name)
    assert [row["name"] for row in desk.run("list")] == ["a", "b"]
    assert [line.split()[0] for line in desk.type("list").stdout.splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "taken"], "there is a client 'taken' already"),
        (["add", "Acme"], "'Acme' is no client name"),
        (["add", "a", "--tier", "G!"], "'G!' is no tier"),
        (["add", "a", "--scope", "Every Thing"], "is no scope"),
        (["add", "a", "--scope", ""], "'' is no scope"),
        (["add", "a", "--model", "../x"], "is no model name"),
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
def test_a_fault_is_one_line_and_for_scripts_it_is_json(desk, words, says):
    before = [desk.run("add", "taken")]
    plain, scripted = desk.type(*words), desk.type(*words, "--json")
    for done in (plain, scripted):
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
    assert plain.stderr.startswith("Error: ")
    assert says in plain.stderr
    assert says in json.loads(scripted.stderr)["error"]
    assert desk.run("list") == before


def test_every_command_speaks_json(desk):
    for command in commands.commands.values():
        assert "--json" in [option for found in command.params for option in found.opts]


def test_a_store_that_cannot_be_asked_is_one_line(desk, tmp_path):
    desk.run("add", "acme")
    (tmp_path / "secureml.db").unlink()
    done = desk.type("disable", "acme")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: the store cannot be asked (FileNotFoundError)\n"


def test_what_a_client_may_is_changed_and_what_is_not_named_stays(desk):
    desk.run("add", "acme", "--tier", "gold", "--scope", "predict")
    found = desk.run("set", "acme", "--scope", "predict@churn@2", "--scope", "token")
    assert found["scopes"] == ["predict@churn@2", "token"]
    assert (found["tier"], found["models"]) == ("gold", ["*"])
    assert desk.run("set", "acme", "--model", "churn@1")["models"] == ["churn@1"]
    assert desk.run("show", "acme")["scopes"] == ["predict@churn@2", "token"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("set", "nobody", "--tier", "gold"), 1),
        (("set", "acme"), 2),
        (("set", "acme", "--scope", "predict@"), 1),
        (("set", "acme", "--model", "a@b"), 1),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(desk, words, code):
    desk.run("add", "acme")
    before = desk.run("show", "acme")
    assert desk.type(*words).exit_code == code
    assert desk.run("show", "acme") == before


def test_every_change_is_told(desk):
    desk.run("add", "acme", "--scope", "predict")
    desk.run("set", "acme", "--tier", "gold")
    desk.run("disable", "acme")
    desk.run("enable", "acme")
    desk.run("list")
    rights = {"tier": "standard", "scopes": "predict", "models": "*"}
    assert desk.harness.told == [
        Event("user_created", "acme", rights),
        Event("privilege_permissions_changed", "acme", rights | {"tier": "gold"}),
        Event("user_disabled", "acme"),
        Event("user_enabled", "acme"),
    ]


def test_a_right_to_what_comes_later_is_taken_when_that_is_said(desk):
    made = desk.run("add", "a", "--scope", "later", "--model", "not-yet@2", "--allow-unknown")
    assert (made["scopes"], made["models"]) == (["later"], ["not-yet@2"])
    changed = desk.run("set", "a", "--scope", "predict@soon", "--allow-unknown")
    assert changed["scopes"] == ["predict@soon"]


def test_all_models_need_not_be_there(desk):
    assert desk.run("add", "a", "--model", "*")["models"] == ["*"]
