"""What `script/server` prints last: a fresh key, and one line that works when pasted."""

from __future__ import annotations

import json
import shlex

import click
import pytest

from secureml.app import create_app
from secureml.cli import welcome
from secureml.core import build_core
from secureml.state.clients import Clients
from secureml.state.store import Store

HEADER = "X-API-Key: sml_x"


def test_the_line_is_one_line_that_begins_with_curl_and_names_all_it_needs(demo_instance):
    line = welcome.curl_line(demo_instance, "breast-cancer", 9000, HEADER)
    assert line.startswith("curl ")
    assert "\n" not in line
    words = shlex.split(line)
    assert words[-1] == "https://localhost:9000/v1/models/breast-cancer/predict"
    assert words[words.index("--cacert") + 1] == str(demo_instance / "tls" / "ca.crt")
    assert HEADER in words
    assert "-k" not in words
    assert "--insecure" not in words


def test_the_row_it_sends_is_answered(demo_instance, fresh_instance):
    made = welcome.greet(build_core(fresh_instance), "breast-cancer", 9000)
    words = shlex.split(made["curl"])
    assert f"X-API-Key: {made['key']}" in words
    app = create_app(fresh_instance)
    answer = app.test_client().post(
        "/v1/models/breast-cancer/predict",
        base_url="https://localhost",
        headers={"X-API-Key": made["key"], "Content-Type": "application/json"},
        data=words[words.index("-d") + 1],
    )
    assert answer.status_code == 200
    assert len(answer.json["predictions"]) == 1
    # A second welcome finds the client there, and gives a key of its own.
    again = welcome.greet(build_core(fresh_instance), "breast-cancer", 9000)
    assert again["key"] != made["key"]
    app.extensions["secureml"].store.close()


def test_a_folder_with_a_space_is_still_one_word(demo_instance, tmp_path):
    folder = tmp_path / "my instance's"
    folder.symlink_to(demo_instance)
    words = shlex.split(welcome.curl_line(folder, "breast-cancer", 1, HEADER))
    assert f"{folder}/tls/ca.crt" in words
    assert len(json.loads(words[words.index("-d") + 1])["instances"]) == 1


def test_a_client_that_is_switched_off_stays_off(fresh_instance):
    """The greeting adds a client, it lets none in again."""
    store = Store(f"sqlite:///{fresh_instance / 'secureml.db'}")
    clients = Clients(store, lambda: 1.0)
    clients.add(welcome.CLIENT)
    clients.set_enabled(welcome.CLIENT, enabled=False)
    welcome.greet(build_core(fresh_instance), "breast-cancer", 1)
    assert not clients.get(welcome.CLIENT).enabled
    store.close()


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(click.ClickException, match=r"secureml clients list: .*no such file"):
        welcome._command(tmp_path, ["clients", "list"])
    assert welcome._command(tmp_path, ["clients", "list"], may_fail=True) == {}


def test_the_header_is_that_of_the_plugin_that_issues_keys(demo_instance, fresh_instance):
    file = fresh_instance / "secureml.toml"
    file.write_text(f'{file.read_text()}\n[plugins.api_keys]\nheader = "X-Model-Key"\n')
    made = welcome.greet(build_core(fresh_instance), "breast-cancer", 1)
    assert f"X-Model-Key: {made['key']}" in shlex.split(made["curl"])


def test_where_no_plugin_issues_keys_that_is_said_with_one_that_does(fresh_instance):
    file = fresh_instance / "secureml.toml"
    file.write_text(file.read_text().replace('"api_keys"', '"anonymous"'))
    with pytest.raises(click.ClickException, match="fix: add 'api_keys' to plugins"):
        welcome.greet(build_core(fresh_instance), "breast-cancer", 1)
