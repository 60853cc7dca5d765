"""``secureml init``: an instance that starts, made once, with exact modes."""

from __future__ import annotations

import json
import os
import re
import stat

import pytest

from secureml import settings
from secureml.core import build_core
from secureml.layout import FILES, FOLDERS, check_modes
from secureml.pipeline import builtin_plugins, file_claims, loader

PRIVATE = ("keys/edge-token", "keys/model-signing.key", "tls/ca.key", "tls/server.key")


@pytest.fixture
def init(type_command, tmp_path):
    """Type init for one folder."""
    folder = tmp_path / "instance"

    def type_it(*words):
        return folder, type_command("init", *words, "--instance", folder)

    return type_it


def everything(folder):
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def test_what_it_makes_starts(init):
    folder, said = init()
    assert (said.code, said.err) == (0, "")
    core = build_core(folder)
    assert not core.settings.production
    assert {"transport", "api_keys", "scopes", "model_integrity"} <= set(core.settings.plugins)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
def test_modes_are_exact_whatever_the_umask(init, umask):
    before = os.umask(umask)
    try:
        folder, said = init()
    finally:
        os.umask(before)
    assert said.code == 0
    owned = file_claims.files(loader.find(builtin_plugins.DEFAULT))
    check_modes(folder)
    check_modes(folder, owned)
    for entry in (*FOLDERS, *FILES, *owned):
        path = folder / entry.path
        if path.exists():
            assert stat.S_IMODE(path.stat().st_mode) == entry.mode, entry.path
    for name in PRIVATE:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_twice_it_changes_nothing(init):
    folder, first = init("--json")
    before = everything(folder)
    _, second = init("--json")
    assert json.loads(second.out) == {"instance": str(folder), "made": []}
    assert everything(folder) == before
    made = json.loads(first.out)["made"]
    assert {"secureml.toml", "keys/edge-token", "tls/server.crt"} <= set(made)
    assert "nothing to make: everything is there" in init()[1].out


def test_it_never_overwrites_what_an_operator_wrote(init):
    folder, _ = init()
    (folder / "secureml.toml").write_text((folder / "secureml.toml").read_text() + "# mine\n")
    (folder / "keys" / "edge-token").write_text("mine")
    before = everything(folder)
    assert init("--host", "ml.example.org")[1].code == 0
    assert everything(folder) == before


@pytest.mark.parametrize("name", ["keys/edge-token", "tls/server.crt", "secureml.toml"])
def test_what_is_missing_is_made_again_and_the_rest_left(init, name):
    folder, _ = init()
    before = everything(folder)
    gone = [folder / name]
    if name == "tls/server.crt":
        gone.append(folder / "tls/server.key")
    for path in gone:
        path.unlink()
    assert name in json.loads(init("--json")[1].out)["made"]
    after = everything(folder)
    assert after.keys() == before.keys()
    changed = {path for path in after if after[path] != before[path]}
    assert changed <= {str(path.relative_to(folder)) for path in gone}


def test_two_instances_share_no_secret(init, type_command, tmp_path):
    folder, _ = init()
    other = tmp_path / "other"
    type_command("init", "--instance", other)
    for name in PRIVATE:
        assert (folder / name).read_bytes() != (other / name).read_bytes()


def test_a_machine_that_only_serves_gets_no_private_half(init):
    folder, _ = init()
    (folder / "keys" / "model-signing.key").unlink()
    init()
    assert not (folder / "keys" / "model-signing.key").exists()


def test_what_only_a_plugin_that_is_not_enabled_owns_is_not_made(init):
    folder, _ = init()
    file = folder / "secureml.toml"
    text = re.sub(r"\n\[plugins.audit_log\](\n.+)+", "", file.read_text())
    file.write_text(text.replace(', "audit_log"]', "]").replace('"model_integrity", ', ""))
    gone = ["keys/audit.key", "model_integrity/signing.pem", "keys/model-signing.key"]
    for name in gone:
        (folder / name).unlink()
    assert json.loads(init("--json")[1].out)["made"] == ["keys/model-signing.key"]


def test_a_plugin_that_cannot_be_found_stops_it(init):
    folder, _ = init()
    file = folder / "secureml.toml"
    file.write_text(file.read_text().replace('"audit_log"]', '"audit_logs"]'))
    said = init()[1]
    assert said.code == 2
    assert f"{file}: [secureml] plugins: " in said.err


def test_nothing_secret_is_printed(init):
    folder, said = init("--json")
    for name in PRIVATE:
        assert (folder / name).read_text().strip().splitlines()[-1] not in said.out


# -- production -----------------------------------------------------------------------------------


def test_production_makes_no_certificate_and_trusts_nobody_direct(init):
    folder, said = init("--profile", "production", "--host", "ml.example.org")
    assert said.code == 0, said.err
    assert list((folder / "tls").iterdir()) == []
    found = settings.read(folder)
    assert found.production
    assert found.plugin_tables["transport"]["hosts"] == ["ml.example.org"]
    assert found.plugin_tables["transport"]["direct"] is False
    build_core(folder)
    before = everything(folder)
    assert init("--profile", "production", "--host", "ml.example.org")[1].code == 0
    assert everything(folder) == before


def test_production_needs_a_name_and_makes_nothing_without_it(init):
    folder, said = init("--profile", "production")
    assert said.code == 2
    assert "--host NAME" in said.err
    assert not folder.exists()


# -- names ----------------------------------------------------------------------------------------


def test_names_of_ones_own_stand_beside_the_local_ones(init):
    folder, _ = init("--host", "ml.example.org", "--host", "192.0.2.7")
    hosts = settings.read(folder).plugin_tables["transport"]["hosts"]
    assert hosts == ["ml.example.org", "192.0.2.7", "localhost", "127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "name", ['a"b', 'x"]\ndirect = true\n#', "bücher.example", "", "-x", "a b", "https://a", "a:1"]
)
@pytest.mark.parametrize("profile", ["development", "production"])
def test_attack_a_host_that_is_more_than_a_name_makes_nothing(init, name, profile):
    folder, said = init("--profile", profile, "--host", name)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert not folder.exists()


def test_a_name_longer_than_a_common_name_may_be_is_still_a_name(init):
    name = f"{'a' * 60}.example.org"
    folder, said = init("--host", name)
    assert said.code == 0, said.err
    assert settings.read(folder).plugin_tables["transport"]["hosts"][0] == name
