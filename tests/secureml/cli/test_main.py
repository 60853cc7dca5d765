"""The command line: every command there, flags anywhere, faults in one line, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from secureml.cli import main as main_module
from secureml.cli.main import CORE, CommandContext, main, move_json, secureml, take_instance
from secureml.config_error import ConfigError

ROOT = Path(__file__).parents[3]
# What operators' scripts call.
COMMANDS = [
    "init",
    "serve",
    "check",
    "phases",
    "routes",
    "clients add",
    "clients list",
    "clients show",
    "clients disable",
    "clients enable",
    "api-keys issue",
    "api-keys list",
    "api-keys rotate",
    "api-keys revoke",
    "models seal",
    "models list",
    "models show",
    "models use",
    "models rollback",
    "signing-keys rotate",
    "signing-keys list",
]


def find(words, context):
    command = secureml
    context = click.Context(secureml, obj=context, **secureml.context_settings)
    for word in words.split():
        command = command.get_command(context, word)
    return command


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_there_and_takes_json(demo_instance, words):
    command = find(words, CommandContext(str(demo_instance)))
    assert "--json" in [option for found in command.params for option in found.opts]
    assert command.help


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("clients add", {"--tier", "--scope", "--model"}),
        ("api-keys issue", {"--expires"}),
        ("api-keys rotate", {"--overlap"}),
        ("models seal", {"--name", "--data"}),
        ("serve", {"--port"}),
    ],
)
def test_the_options_scripts_use_are_there(demo_instance, line, options):
    command = find(line, CommandContext(str(demo_instance)))
    assert options <= {option for found in command.params for option in found.opts}


# -- flags anywhere -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "--instance {i} --json clients list",
        "clients --instance {i} --json list",
        "clients list --instance {i} --json",
        "--json clients list --instance={i}",
        "clients --json --instance={i} list",
        "--instance=nowhere clients list --instance {i} --json",
    ],
)
def test_instance_and_json_may_stand_anywhere(type_command, fresh_instance, line):
    said = type_command(*line.format(i=fresh_instance).split())
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out) == []


def test_the_environment_names_the_instance_and_the_line_overrules_it(
    type_command, fresh_instance, monkeypatch
):
    monkeypatch.setenv("SECUREML_INSTANCE", str(fresh_instance))
    assert json.loads(type_command("clients", "list", "--json").out) == []
    assert type_command("clients", "list", "--instance", "nowhere").code == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], (None, [])),
        (["a"], (None, ["a"])),
        (["--instance", "x", "a"], ("x", ["a"])),
        (["a", "--instance=x"], ("x", ["a"])),
        (["a", "--", "--instance", "x"], (None, ["a", "--", "--instance", "x"])),
        (["--instance", "--", "a"], ("--", ["a"])),
        (["--instances", "x"], (None, ["--instances", "x"])),
    ],
)
def test_the_instance_is_taken_out_of_the_line(words, found):
    assert take_instance(words) == found


@pytest.mark.parametrize("words", [["--instance"], ["--instance", ""], ["check", "--instance="]])
def test_an_empty_instance_is_refused_and_not_the_default(words):
    """A script's variable that is not set must not mean ./instance."""
    with pytest.raises(ConfigError, match="--instance needs the path of a folder"):
        take_instance(words)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], (False, [])),
        (["a", "b"], (False, ["a", "b"])),
        (["--json", "a", "b"], (True, ["a", "b", "--json"])),
        (["a", "--json", "b", "--json"], (True, ["a", "b", "--json"])),
        (["--json", "a", "--", "b"], (True, ["a", "--json", "--", "b"])),
        (["a", "--", "--json"], (False, ["a", "--", "--json"])),
    ],
)
def test_json_is_moved_to_where_a_command_takes_it(words, found):
    assert move_json(words) == found


# -- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("nonsense", 2, "No such command 'nonsense'."),
        ("clients nonsense", 2, "No such command 'nonsense'."),
        ("clients add", 2, "Missing argument 'NAME'."),
        ("clients list --nonsense", 2, "No such option"),
        ("clients list extra", 2, "Got unexpected extra argument (extra)"),
        ("init --profile staging", 2, "Invalid value for '--profile'"),
        ("serve --port 0", 2, "Invalid value for '--port'"),
        ("serve --port https", 2, "Invalid value for '--port'"),
        ("models seal nowhere --name x", 2, "does not exist"),
        ("models show nope", 1, "there is no model 'nope'"),
        ("clients show nobody", 1, "there is no client 'nobody'"),
        ("api-keys revoke nothing", 1, "there is no key 'nothing'"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_fault_is_one_line_and_for_scripts_it_is_json(
    type_command, demo_instance, line, code, says, as_json
):
    said = type_command(*line.split(), "--instance", demo_instance, *["--json"] * as_json)
    assert (said.code, said.out) == (code, "")
    assert said.err.count("\n") == 1
    assert says in (json.loads(said.err)["error"] if as_json else said.err)


@pytest.mark.parametrize(
    "line",
    ["check", "phases", "routes", "clients list", "api-keys list", "models list", "serve"],
)
def test_without_an_instance_every_command_says_so(type_command, tmp_path, line):
    words = [*line.split(), "--instance", tmp_path / "nowhere"]
    said = type_command(*words)
    assert (said.code, said.out) == (2, "")
    what = "" if line == "models list" else "/secureml.toml"  # one that only seals has no settings
    assert said.err == (
        f"secureml: {tmp_path / 'nowhere'}{what}: there is no such {'file' if what else 'folder'}; "
        "fix: run `secureml init`, or name the folder with --instance\n"
    )
    scripted = type_command(*words, "--json")
    assert scripted.code == 2
    said_it = scripted.out if line == "check" else scripted.err
    assert "there is no such " in json.loads(said_it)["error"]


def test_a_file_that_cannot_be_used_is_one_line(type_command, tmp_path):
    (tmp_path / "file").touch()
    said = type_command("init", "--instance", tmp_path / "file")
    assert (said.code, said.err) == (1, f"Error: Not a directory: {tmp_path / 'file' / 'keys'}\n")


def test_a_store_that_cannot_be_asked_is_one_line(type_command, fresh_instance):
    # A log left by another test that has the original open would mend what is broken here.
    for log in fresh_instance.glob("secureml.db-*"):
        log.unlink()
    (fresh_instance / "secureml.db").write_bytes(os.urandom(40960))
    for line in ("clients list", "api-keys list", "signing-keys list"):
        said = type_command(*line.split(), "--instance", fresh_instance)
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("Error: the store cannot be read")


def test_help_is_given_without_an_instance_and_names_the_plugins_where_there_is_one(
    type_command, tmp_path, demo_instance
):
    said = type_command("--help", "--instance", tmp_path)
    assert said.code == 0
    assert all(name in said.out for name in CORE)
    assert "api-keys" not in said.out
    assert "api-keys" in type_command("-h", "--instance", demo_instance).out


def test_without_words_the_help_is_shown(type_command):
    said = type_command()
    assert said.code == 2
    assert "Usage: secureml" in said.err


def ended(error, monkeypatch):
    def fail(*args, **words):
        raise error

    monkeypatch.setattr(main_module.secureml, "main", fail)
    with pytest.raises(SystemExit) as found:
        main(["check"])
    return found.value.code


def test_interrupted_it_ends_as_shells_expect(monkeypatch):
    assert ended(click.Abort(), monkeypatch) == 130


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        ended(ZeroDivisionError(), monkeypatch)


def test_as_a_process_it_is_the_same_and_a_reader_may_leave(demo_instance):
    """The one test here that pays for processes: the exit code and both streams are real."""
    command = [sys.executable, "-m", "secureml.cli", "--json", "clients", "list"]
    environment = os.environ | {"SECUREML_INSTANCE": str(demo_instance)}
    words = {"cwd": ROOT, "env": environment, "text": True}
    done = subprocess.run(command, capture_output=True, check=False, **words)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [], "")
    done = subprocess.run([*command, "x"], capture_output=True, check=False, **words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unexpected extra argument" in json.loads(done.stderr)["error"]
    reader, writer = os.pipe()
    os.close(reader)
    left = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, **words)
    os.close(writer)
    assert (left.returncode, left.stderr) == (1, "")


# -- without an instance --------------------------------------------------------------------------


def test_the_version_is_the_one_of_the_project_wherever_it_is_asked(type_command, tmp_path):
    written = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    said = type_command("--version", "--instance", tmp_path)
    assert (said.code, said.out, said.err) == (0, f"secureml {written}\n", "")


@pytest.mark.parametrize("words", [["api-keys"], ["api-keys", "issue"], ["limits", "explain"]])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_on_our_plugins_needs_no_instance(tmp_path, words, flag):
    """In a process of its own: a command remembers the help option of its first use."""
    command = [sys.executable, "-P", "-m", "secureml.cli", *words, flag, "--instance", tmp_path]
    said = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")
    assert f"Usage: secureml {' '.join(words)}" in said.stdout


@pytest.mark.parametrize(
    ("word", "hint"),
    [("modles", "models"), ("chekc", "check"), ("apikeys", "api-keys"), ("audit_log", "audit-log")],
)
@pytest.mark.parametrize("made", [False, True])
def test_a_mistyped_command_is_told_so(type_command, tmp_path, demo_instance, word, hint, made):
    """And not that there is no such file; that stands behind it, where it is so."""
    said = type_command(word, "list", "--instance", demo_instance if made else tmp_path)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(f"Error: No such command {word!r}. Did you mean {hint!r}?")
    assert ("there is no such file" in said.err) is not made


def test_a_command_of_a_plugin_of_ones_own_says_why_it_is_not_known(type_command, fresh_instance):
    """Its module is not where Python looks: the message says where it would."""
    file = fresh_instance / "secureml.toml"
    text = file.read_text()
    file.write_text(text.replace('"audit_log"]', '"audit_log", "acme_elsewhere:Acme"]'))
    said = type_command("acme", "list", "--instance", fresh_instance)
    assert said.code == 2
    assert "No such command 'acme'." in said.err
    assert "Python finds no module 'acme_elsewhere'" in said.err
    assert "PYTHONPATH=" in said.err


def test_no_group_is_listed_under_two_names(type_command, demo_instance):
    """A second word is for whoever knows it, and not a second thing to learn."""
    out = type_command("--help", "--instance", demo_instance).out
    assert "  rate-limit " in out
    assert "  limits " not in out
    assert type_command("limits", "--help", "--instance", demo_instance).code == 0


@pytest.mark.parametrize(
    "line",
    [
        "clients list",
        "clients add acme",
        "api-keys list",
        "signing-keys list",
        "signing-keys rotate",
        "audit-log verify",
        "rate-limit bans list",
        "models list",
        "phases",
        "routes",
        "check",
        "backup {folder}/../b.tar.gz",
    ],
)
def test_attack_no_command_makes_a_store_where_there_is_none(type_command, fresh_instance, line):
    """It would answer as if there were no client, no key and no revocation."""
    (fresh_instance / "secureml.db").rename(fresh_instance / "away.db")
    words = line.format(folder=fresh_instance).split()
    said = type_command(*words, "--instance", fresh_instance)
    assert (said.code, said.out) == (2, "")
    assert f"there is no store: {fresh_instance / 'secureml.db'} is missing" in said.err
    assert not (fresh_instance / "secureml.db").exists()


def test_a_store_that_is_gone_is_made_again_by_init_and_said(type_command, fresh_instance):
    (fresh_instance / "secureml.db").rename(fresh_instance / "away.db")
    said = type_command("init", "--json", "--instance", fresh_instance)
    assert said.code == 0, said.err
    assert "secureml.db" in json.loads(said.out)["made"]
    said = type_command("clients", "list", "--instance", fresh_instance)
    assert (said.code, said.err) == (0, "")


def test_attack_init_leaves_the_store_of_another_instance_alone(
    type_command, fresh_instance, tmp_path
):
    other = tmp_path / "other"
    assert type_command("init", "--instance", other).code == 0
    with (fresh_instance / "secureml.toml").open("a") as file:
        file.write(f'\n[store]\nurl = "sqlite:///{other}/secureml.db"\n')
    before = (other / "secureml.db").read_bytes()
    said = type_command("init", "--instance", fresh_instance)
    assert (said.code, "in another instance folder" in said.err) == (2, True)
    assert (other / "secureml.db").read_bytes() == before
