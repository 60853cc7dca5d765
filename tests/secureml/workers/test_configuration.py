"""Gunicorn starts with what the settings file says, or stops with one line."""

from __future__ import annotations

import pytest

from secureml.settings_schema import TABLES
from secureml.workers.configuration import read


def written(folder, text):
    (folder / "secureml.toml").write_text(text, "utf-8")
    return folder


def test_without_a_settings_file_the_defaults_of_the_schema_hold(tmp_path):
    found = read(tmp_path)
    defaults = TABLES["server"]().load({})
    assert (found.workers, found.threads, found.timeout) == (
        defaults["workers"], defaults["threads"], defaults["timeout"],
    )  # fmt: skip
    assert found.bind == f"unix:{tmp_path}/run/gunicorn.sock"
    assert found.production


def test_the_server_table_is_taken_and_the_others_are_left_to_the_application(tmp_path):
    text = "[server]\nworkers = 3\nbind = '127.0.0.1:8000'\ntimeout = 90\n[unheard_of]\na = 1\n"
    found = read(written(tmp_path, text))
    assert (found.workers, found.bind, found.timeout) == (3, "127.0.0.1:8000", 90)


@pytest.mark.parametrize(
    ("profile", "production"),
    [("'production'", True), ("'development'", False), ("'developement'", False), ("1", False)],
)
def test_only_the_word_itself_makes_production(tmp_path, profile, production):
    assert read(written(tmp_path, f"[secureml]\nprofile = {profile}\n")).production is production


@pytest.mark.parametrize("text", ["", "[secureml]\n", "secureml = 3\n"])
def test_where_no_profile_is_named_it_is_production(tmp_path, text):
    assert read(written(tmp_path, text)).production


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\nworkers = 0\n", "[server] workers: "),
        ("[server]\nwrokers = 2\n", "did you mean 'workers'?"),
        ("server = 1\n", "[server]: this must be a table"),
        ("[server\n", "is not valid TOML"),
    ],
)
def test_a_fault_ends_the_start_with_file_key_and_fix(tmp_path, text, says):
    with pytest.raises(SystemExit) as stopped:
        read(written(tmp_path, text))
    line = str(stopped.value)
    assert line.startswith(f"secureml: {tmp_path}/secureml.toml: ")
    assert says in line
    assert "; fix: " in line
    assert "\n" not in line
