"""``secureml signing-keys``, and what `init` and `check` say of signing keys."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from secureml.cli.main import CommandContext, secureml


class Shell:
    """Runs commands in one instance folder."""

    def __init__(self, folder):
        self.instance = folder / "instance"

    def __call__(self, line, *, code=0):
        words = line.split()
        result = CliRunner().invoke(secureml, words, obj=CommandContext(str(self.instance)))
        assert result.exit_code == code, (result.output, result.exception)
        return json.loads(result.output) if "--json" in words and not code else result.output


@pytest.fixture
def shell(tmp_path):
    """A shell in a fresh instance."""
    made = Shell(tmp_path)
    made("init")
    return made


def test_init_makes_the_first_key_once(shell):
    """A second run makes nothing."""
    (key,) = shell("signing-keys list --json")
    assert key["state"] == "active"
    assert "nothing to make: everything is there" in shell("init")
    assert len(shell("signing-keys list --json")) == 1


def test_rotate_makes_the_next_and_says_which(shell):
    """And the list shows both."""
    made = shell("signing-keys rotate --algorithm EdDSA --json")

    assert made["algorithm"] == "EdDSA"
    assert [row["state"] for row in shell("signing-keys list --json")] == ["retiring", "active"]
    assert made["kid"] in shell("signing-keys list")


def test_if_due_does_nothing_before_the_time(shell):
    """So a timer may run it every day."""
    assert shell("signing-keys rotate --if-due --json") == {"rotated": False}


def test_if_due_rotates_when_the_time_has_come(shell):
    """The schedule is a setting."""
    settings = shell.instance / "secureml.toml"
    settings.write_text(settings.read_text() + '\n[signing_keys]\nrotate_after = "1h"\n')
    from secureml.core import build_core

    core = build_core(shell.instance)
    with core.store.begin() as connection:
        connection.exec_driver_sql("UPDATE signing_keys SET created = created - 3600")
    core.store.close()

    assert shell("signing-keys rotate --if-due --json")["rotated"] is True


def test_retire_ends_a_key_and_names_the_one_that_signs(shell):
    """The active one gets a successor."""
    (key,) = shell("signing-keys list --json")
    said = shell(f"signing-keys retire {key['kid']} --json")

    assert said["state"] == "retired"
    assert said["active"] != key["kid"]


def test_an_unknown_key_is_one_line(shell):
    """And exit code 1."""
    assert "there is no signing key" in shell("signing-keys retire nosuch", code=1)


def test_no_output_holds_a_private_key(shell):
    """Not the list, not the JSON, not the rotation."""
    lines = ("signing-keys rotate", "signing-keys list", "signing-keys list --json")
    said = "".join(str(shell(line)) for line in lines)
    secret = "".join(file.read_text() for file in (shell.instance / "keys/signing").iterdir())

    assert "PRIVATE" not in said
    assert not any(part in said for part in secret.splitlines() if len(part) > 30)


def warnings(shell):
    """What `check` warns of, but that these instances have no model."""
    found = shell("check --json")["warnings"]
    return [line for line in found if not line.startswith("no model is sealed")]


def test_check_says_what_a_plugin_lacks(shell):
    """An enabled `jwt` without a key starts, answers keys, and is not ready."""
    settings = shell.instance / "secureml.toml"
    text = settings.read_text().replace('"api_keys",', '"api_keys", "jwt",')
    settings.write_text(
        text + '\n[plugins.jwt]\nissuer = "https://ml.example.org"\naudience = "ml"\n'
    )
    assert warnings(shell) == []
    for file in (shell.instance / "keys/signing").iterdir():
        file.unlink()

    assert "jwt is not ready: no_signing_key" in shell("check --json")["warnings"]


def test_check_stops_where_there_is_no_store(shell):
    """A start would be refused as well: what is missing is not made in passing."""
    settings = shell.instance / "secureml.toml"
    settings.write_text(settings.read_text() + '\n[store]\nurl = "sqlite:////nowhere/x.db"\n')

    said = json.loads(shell("check --json", code=2))
    assert said["ok"] is False
    assert "[store] url: there is no store: /nowhere/x.db is missing" in said["error"]


def test_a_schedule_that_cannot_be_is_refused(shell):
    """With table and key."""
    settings = shell.instance / "secureml.toml"
    settings.write_text(settings.read_text() + '\n[signing_keys]\nalgorithm = "HS256"\n')

    with pytest.raises(Exception, match=r"\[signing_keys\] algorithm"):
        CliRunner().invoke(
            secureml,
            ["signing-keys", "list"],
            obj=CommandContext(str(shell.instance)),
            catch_exceptions=False,
        )


def test_check_warns_of_a_key_that_is_overdue(shell):
    """It may start all the same: an old key is no open phase."""
    settings = shell.instance / "secureml.toml"
    settings.write_text(settings.read_text() + '\n[signing_keys]\nrotate_after = "1h"\n')
    assert warnings(shell) == []
    from secureml.core import build_core

    core = build_core(shell.instance)
    with core.store.begin() as connection:
        connection.exec_driver_sql("UPDATE signing_keys SET created = created - 200000")
    core.store.close()

    assert "2 days old" in shell("check --json")["warnings"][0]
    assert "warning: the signing key" in shell("check")
