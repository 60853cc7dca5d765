"""`secureml check` lists each secret in use with its age, and never its value."""

from __future__ import annotations

import json
import os
import time

import pytest
from click.testing import CliRunner

from secureml import program_log
from secureml.cli.main import CommandContext, secureml
from secureml.secret_report import SecretAge

DAY = 86400


@pytest.fixture
def run(tmp_path):
    """Type a command for a fresh instance."""

    # Before a command runs: its stderr ends with it, and the log would keep writing there.
    program_log.configure("warning")

    def type_it(*words):
        return CliRunner().invoke(secureml, list(words), obj=CommandContext(str(tmp_path / "i")))

    assert type_it("init").exit_code == 0
    return type_it


def token_of(tmp_path):
    return tmp_path / "i" / "keys" / "edge-token"


def test_a_fresh_secret_is_listed_by_table_key_and_reference(run, tmp_path):
    """For scripts and for people."""
    found = json.loads(run("check", "--json").stdout)["secrets"]

    assert [(row["table"], row["key"], row["reference"], row["old"]) for row in found] == [
        ("plugins.transport", "edge_token", "file:keys/edge-token", False),
        ("plugins.audit_log", "key", "file:keys/audit.key", False),
        ("plugins.audit_log", "checkpoint_key", "file:keys/audit-checkpoint.key", False),
    ]
    assert 0 <= found[0]["age"] < 60
    text = run("check").stdout
    assert "secret [plugins.transport] edge_token file:keys/edge-token, 0 days old" in text
    assert token_of(tmp_path).read_text() not in text


def test_an_old_secret_is_a_warning_and_no_failure(run, tmp_path):
    """A server that runs is not stopped by a calendar."""
    then = time.time() - 91 * DAY
    os.utime(token_of(tmp_path), (then, then))
    done = run("check")

    assert done.exit_code == 0
    assert "warning: secret [plugins.transport] edge_token" in done.stdout
    assert "91 days old: rotate it" in done.stdout
    assert json.loads(run("check", "--json").stdout)["secrets"][0]["old"] is True


def test_the_age_that_counts_is_a_setting(run, tmp_path):
    """In [secrets]."""
    with (tmp_path / "i" / "secureml.toml").open("a") as file:
        file.write('[secrets]\nwarn_age = "365d"\n')
    then = time.time() - 91 * DAY
    os.utime(token_of(tmp_path), (then, then))

    assert "days old; " not in (emitted := run("check").stdout)
    assert emitted.count("warning") == 1, "that no model is sealed"


def test_the_login_of_a_manager_is_a_secret_in_use(run, tmp_path, monkeypatch):
    """Though no reference asks that manager; and a variable has no age."""
    monkeypatch.setenv("BAO_TOKEN", "canary")
    with (tmp_path / "i" / "secureml.toml").open("a") as file:
        file.write('[secrets.vault]\nurl = "http://127.0.0.1:1"\ntoken = "env:BAO_TOKEN"\n')
    done = run("check")

    assert "secret [secrets.vault] token env:BAO_TOKEN, age unknown" in done.stdout
    assert "canary" not in done.stdout


def test_an_age_is_said_in_days():
    """Whole ones."""
    row = SecretAge("plugins.jwt", "issuers[0].secret", "aws:x", 89.9 * DAY, old=False)

    assert row.line() == "secret [plugins.jwt] issuers[0].secret aws:x, 89 days old"
