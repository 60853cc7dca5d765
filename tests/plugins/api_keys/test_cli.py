"""``secureml api-keys``: a key is shown once, and a fault is one line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from plugins.api_keys.plugin import ApiKeys
from secureml.testing import Harness

DAY = 86400.0


class CommandContext:
    """A folder with the client acme, and the plugin's own commands."""

    def __init__(self, folder):
        self.harness = Harness(folder)
        self.plugin = self.harness.build(ApiKeys)
        self.harness.clients.add("acme")

    def type(self, *words):
        return CliRunner().invoke(self.plugin.commands(), list(words))

    def run(self, *words):
        """Return what a command prints for scripts."""
        done = self.type(*words, "--json")
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr or done.exception
        return json.loads(done.stdout)

    def state(self, text):
        return self.plugin._keyring.find(text)[1]


@pytest.fixture
def context(tmp_path):
    made = CommandContext(tmp_path)
    yield made
    made.harness.store.close()


def test_a_key_is_issued_for_ninety_days_unless_said(context):
    made = context.run("issue", "acme")
    assert set(made) == {"key", "id", "client", "expires"}
    assert made["id"] == made["key"][4:16]
    assert made["expires"] == "2026-04-01T00:00:00Z"
    context.harness.clock.advance(90 * DAY - 1)
    assert context.state(made["key"]) == "active"
    context.harness.clock.advance(1)
    assert context.state(made["key"]) == "expired"


def test_the_default_is_said_in_the_help(context):
    assert "default: 90d" in " ".join(context.type("issue", "--help").stdout.split())


def test_never_is_possible_and_takes_the_word(context):
    assert context.run("issue", "acme", "--expires", "never")["expires"] is None
    assert "good until revoked" in context.type("issue", "acme", "--expires", "never").stdout


def test_for_people_the_key_stands_on_a_line_of_its_own(context):
    first, second = context.type("issue", "acme").stdout.splitlines()
    assert context.state(first) == "active"
    assert "shown this once" in second


def test_a_key_is_shown_once_and_never_again(context):
    made = [context.run("issue", "acme")["key"] for _ in range(2)]
    made.append(context.run("rotate", made[0][4:16])["key"])
    said = [
        context.type(*words).output
        for words in (
            ["list"],
            ["list", "--json"],
            ["list", "--client", "acme"],
            ["revoke", made[1][4:16]],
            ["revoke", made[1][4:16], "--json"],
            ["rotate", made[1][4:16]],
        )
    ]
    for key in made:
        assert not any(key[17:] in text for text in said)
        assert context.plugin._keyring.find(key)[0].digest not in "".join(said)


def test_the_list_says_what_there_is_to_know(context):
    assert context.run("list") == []
    assert context.type("list").stdout == "no keys yet\n"
    made = context.run("issue", "acme", "--scope", "predict")
    assert context.run("list", "--client", "acme") == context.run("list")
    assert context.run("list", "--client", "other") == []
    assert context.run("list") == [
        {
            "id": made["id"],
            "client": "acme",
            "state": "active",
            "scopes": ["predict"],
            "created": "2026-01-01T00:00:00Z",
            "expires": made["expires"],
            "revoked": None,
            "successor": None,
        }
    ]
    context.harness.clock.advance(90 * DAY)
    assert [row["state"] for row in context.run("list")] == ["expired"]


def test_a_rotation_shows_the_new_key_and_lets_the_old_one_run_out(context):
    old = context.run("issue", "acme")
    new = context.run("rotate", old["id"], "--overlap", "1h")
    assert (context.state(old["key"]), context.state(new["key"])) == ("active", "active")
    context.harness.clock.advance(3600)
    assert (context.state(old["key"]), context.state(new["key"])) == ("expired", "active")
    rows = {row["id"]: row for row in context.run("list")}
    assert rows[old["id"]]["successor"] == new["id"]


def test_without_an_overlap_said_it_is_a_day(context):
    old = context.run("issue", "acme")
    context.run("rotate", old["id"])
    context.harness.clock.advance(DAY - 1)
    assert context.state(old["key"]) == "active"
    context.harness.clock.advance(1)
    assert context.state(old["key"]) == "expired"


def test_a_revocation_says_when(context):
    made = context.run("issue", "acme")
    assert context.run("revoke", made["id"]) == {
        "id": made["id"],
        "revoked": "2026-01-01T00:00:00Z",
    }
    assert context.state(made["key"]) == "revoked"


def test_a_scope_beyond_the_client_is_noted_and_gains_nothing(context):
    done = context.type("issue", "acme", "--scope", "admin", "--scope", "predict")
    assert done.exit_code == 0
    assert done.stderr == "note: acme itself does not hold admin\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["issue", "nobody"], "there is no client 'nobody'"),
        (["rotate", "x" * 12], "there is no key"),
        (["revoke", "x" * 12], "there is no key"),
        (["issue", "acme", "--expires", "0s"], "good for some time"),
        (["rotate", "x" * 12, "--overlap", "never"], "an overlap ends"),
    ],
)
def test_a_fault_is_one_line_and_for_scripts_it_is_json(context, words, says):
    for json_too in (False, True):
        done = context.type(*words, *["--json"] * json_too)
        assert done.exit_code in (1, 2)
        assert done.stdout == ""
        assert not isinstance(done.exception, Exception)
        if json_too:
            assert says in json.loads(done.stderr)["error"]
            assert done.stderr.count("\n") == 1
        else:
            assert says in done.stderr
    assert context.run("list") == []


@pytest.mark.parametrize(
    "words",
    [
        ["--expires", "soon"],
        ["--expires", "-1d"],
        ["--expires", "9999999999d"],
        ["--expires", ""],
        ["--scope", "Every Thing"],
        ["--scope", "*"],
        ["--scope", ""],
    ],
)
def test_a_word_that_makes_no_sense_makes_no_key(context, words):
    done = context.type("issue", "acme", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert context.run("list") == []


def test_a_store_that_cannot_be_asked_is_one_line(context, tmp_path):
    context.run("issue", "acme")
    (tmp_path / "secureml.db").unlink()
    done = context.type("list")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the store cannot be read")
    assert done.stderr.count("\n") == 1
