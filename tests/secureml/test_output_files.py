"""Every file that a setting makes us write is nothing else's: two that meet stop the start."""

from __future__ import annotations

import os

import pytest

from secureml import ConfigError
from secureml.core import build_core


def write(instance, table, line):
    """Put a line into a table of the settings, which is made where it is not there."""
    file = instance / "secureml.toml"
    text, heading = file.read_text(), f"[{table}]\n"
    if heading not in text:
        text += f"\n{heading}"
    file.write_text(text.replace(heading, f"{heading}{line}\n"))


def refusal(instance):
    with pytest.raises(ConfigError) as refused:
        build_core(instance)
    assert refused.value.file == str(instance / "secureml.toml")
    return refused.value


@pytest.mark.parametrize(
    ("plugin", "line", "meets"),
    [
        ("access_log", 'file = "secureml.db"', "[store] url"),
        ("access_log", 'file = "secureml.db-wal"', "[store] url"),
        ("access_log", 'file = "./logs/../secureml.db"', None),
        ("access_log", 'file = "models/access.log"', "[models] folder"),
        ("access_log", 'file = "models/breast-cancer/1/access.log"', "[models] folder"),
        ("access_log", 'file = "logs/audit/audit-000000000001.jsonl"', "audit_log] folder"),
        ("access_log", 'file = "logs/audit-checkpoints.jsonl"', "checkpoint_file"),
        ("access_log", 'file = "store/audit-head"', "[plugins.audit_log] head_file"),
        ("access_log", 'file = "counters.db.concurrency"', "[plugins.rate_limit] counters"),
        ("access_log", 'file = "secureml.toml"', "secureml.toml"),
        ("access_log", 'file = "keys/signing/x.pem"', "keys"),
        ("access_log", 'file = "run/gunicorn.sock"', "gunicorn.sock"),
        ("rate_limit", 'counters = "secureml.db"', "[store] url"),
        ("rate_limit", 'counters = "{instance}/secureml.db"', "[store] url"),
        ("rate_limit", 'budgets = "secureml.db"', "[store] url"),
        ("rate_limit", 'counters = "run/metrics/counters.db"', "metrics"),
        ("audit_log", 'folder = "models/audit"', "[models] folder"),
        ("audit_log", 'folder = "."', None),
        ("audit_log", 'checkpoint_file = "logs/audit/points"', "[plugins.audit_log] folder"),
        ("audit_log", 'checkpoint_file = "{instance}/secureml.db"', "[store] url"),
        ("audit_log", 'head_file = "logs/access.log"', "[plugins.access_log] file"),
    ],
)  # fmt: skip
def test_attack_a_file_is_not_written_over_or_into_another(fresh_instance, plugin, line, meets):
    before = (fresh_instance / "secureml.db").read_bytes()
    write(fresh_instance, f"plugins.{plugin}", line.format(instance=fresh_instance))
    emitted = refusal(fresh_instance)
    if meets:
        assert meets in str(emitted)
    assert emitted.fix
    assert (fresh_instance / "secureml.db").read_bytes() == before


@pytest.mark.parametrize("path", ["model_integrity/x", "run/metrics/x"])
def test_attack_what_a_plugin_owns_is_its_own_where_the_plugin_is_enabled(fresh_instance, path):
    write(fresh_instance, "plugins.access_log", f'file = "{path}"')
    owner = "model_integrity" if "model" in path else "metrics"
    assert f"into {path.split('/')[-2]!r} of {owner}" in str(refusal(fresh_instance))


@pytest.mark.parametrize("more", [0o040, 0o004])
@pytest.mark.parametrize("name", ["counters.db", "budgets.db", "elsewhere.db"])
def test_attack_a_database_that_others_can_read_stops_the_start_wherever_it_is(
    fresh_instance, name, more
):
    file = fresh_instance / name
    file.touch(mode=0o600)
    file.chmod(0o600 | more)
    if name == "elsewhere.db":
        write(fresh_instance, "plugins.rate_limit", f'budgets = "{name}"')
    with pytest.raises(ConfigError, match=r"lets others in \(\[plugins.rate_limit\] ") as refused:
        build_core(fresh_instance)
    assert refused.value.fix == f"chmod 600 {file}"
    file.chmod(0o600)
    build_core(fresh_instance).close()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_attack_another_name_of_the_store_is_the_store(fresh_instance, link):
    link(fresh_instance / "secureml.db", fresh_instance / "logs/lines")
    write(fresh_instance, "plugins.access_log", 'file = "logs/lines"')
    emitted = refusal(fresh_instance)
    assert (emitted.table, emitted.key) in {("plugins.access_log", "file"), ("store", "url")}


@pytest.mark.parametrize("folder", [".", "logs", "keys", "run"])
def test_attack_models_do_not_lie_where_other_things_are_written(fresh_instance, folder):
    write(fresh_instance, "models", f'folder = "{folder}"')
    refusal(fresh_instance)


def test_attack_the_log_of_another_instance_is_not_written(fresh_instance, tmp_path):
    other = tmp_path / "other"
    (other / "logs").mkdir(parents=True)
    (other / "secureml.toml").touch()
    write(fresh_instance, "plugins.audit_log", f'checkpoint_file = "{other}/logs/points"')
    emitted = refusal(fresh_instance)
    assert (emitted.table, emitted.key) == ("plugins.audit_log", "checkpoint_file")
    assert f"in another instance folder ({other})" in emitted.message


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        ("access_log", 'file = "-"'),
        ("access_log", 'file = "logs/mine.log"'),
        ("rate_limit", 'counters = "store/counters.db"'),
        ("audit_log", 'checkpoint_file = "{elsewhere}/points.jsonl"'),
    ],
)
def test_places_of_their_own_are_taken(fresh_instance, tmp_path, plugin, line):
    write(fresh_instance, f"plugins.{plugin}", line.format(elsewhere=tmp_path))
    build_core(fresh_instance).close()
