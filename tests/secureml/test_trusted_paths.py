"""What others may write is not believed: settings, models, keys, stores, code, folders above."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from secureml import trusted_paths
from secureml.config_error import ConfigError
from secureml.core import build_core
from secureml.trusted_paths import TrustedPaths, owners


def check(instance):
    TrustedPaths(owners(instance)).check_instance(instance)


@pytest.fixture
def refuses():
    """Tell that a path stops the start, with its mode and the command that mends it."""

    def it_does(instance, path, more):
        before = path.stat().st_mode & 0o7777
        path.chmod(before | more)
        with pytest.raises(ConfigError) as refused:
            build_core(instance)
        if "lets others in" not in str(refused.value):
            assert str(refused.value) == (
                f"{path}: mode {before | more:04o} lets other users change it, and with it what is "
                f"served; fix: chmod g-w,o-w {path}"
            )
        path.chmod(before)
        build_core(instance)

    return it_does


def test_a_fresh_instance_is_believed(fresh_instance):
    check(fresh_instance)


@pytest.mark.parametrize("more", [0o020, 0o002])
def test_attack_whatever_in_the_instance_others_may_write_stops_the_start(
    fresh_instance, refuses, more
):
    (fresh_instance / "acme_hours").mkdir(mode=0o750)
    (fresh_instance / "acme_hours" / "table.toml").touch(mode=0o640)
    places = [
        path
        for path in [fresh_instance, *fresh_instance.rglob("*")]
        if path.relative_to(fresh_instance).parts[:1] not in (("run",), ("nginx",))
    ]
    names = {str(path.relative_to(fresh_instance)) for path in places}
    assert {"secureml.toml", "models/breast-cancer/1", "acme_hours/table.toml", "secureml.db",
            "keys/audit.key", "model_integrity/signing.pem", "logs", "."} <= names  # fmt: skip
    for path in places:
        refuses(fresh_instance, path, more)


@pytest.mark.parametrize("more", [0o020, 0o002])
def test_attack_a_folder_above_that_others_may_write_stops_the_start(
    fresh_instance, tmp_path, refuses, more
):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for folder in (tmp_path / "a", deep):
        folder.chmod(0o755)
    instance = fresh_instance.rename(deep / "instance")
    for folder in (tmp_path / "a", deep):
        refuses(instance, folder, more)


def test_a_sticky_folder_above_is_no_danger_and_a_sticky_one_inside_is(fresh_instance, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    instance = fresh_instance.rename(tmp_path / "shared" / "instance")
    check(instance)
    (instance / "models").chmod(0o1777)
    with pytest.raises(ConfigError, match="mode 1777 lets other users change it"):
        check(instance)


def test_a_folder_that_a_link_leads_to_is_looked_at_with_all_above_it(fresh_instance, tmp_path):
    (tmp_path / "open").mkdir()
    (fresh_instance / "models" / "breast-cancer").rename(tmp_path / "open" / "model")
    (fresh_instance / "models" / "breast-cancer").symlink_to(tmp_path / "open" / "model")
    check(fresh_instance)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigError, match=f"{tmp_path}/open: mode 0777"):
        check(fresh_instance)


def test_what_belongs_to_somebody_else_stops_the_start(fresh_instance):
    strange = TrustedPaths({os.geteuid() + 12345})
    with pytest.raises(ConfigError, match=r"it belongs to .*; fix: chown root /"):
        strange.check_instance(fresh_instance)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_believes_the_user_of_the_service_and_nobody_else(fresh_instance):
    service, other = 4_242, 4_243
    for path in (fresh_instance / "keys", fresh_instance / "secureml.db"):
        os.chown(path, service, -1)
    check(fresh_instance)
    os.chown(fresh_instance / "secureml.toml", other, -1)
    with pytest.raises(ConfigError, match=r"secureml\.toml: it belongs to user 4243"):
        check(fresh_instance)


@pytest.mark.parametrize("more", [0o020, 0o002])
def test_attack_code_of_a_plugin_that_others_may_write_stops_the_start(tmp_path, more):
    folder = tmp_path / "acme"
    folder.mkdir()
    module = folder / "hours.py"
    module.touch(mode=0o644)
    TrustedPaths(owners(tmp_path)).check_code([folder])
    for path in (module, folder):
        before = path.stat().st_mode & 0o7777
        path.chmod(before | more)
        with pytest.raises(ConfigError, match=f"fix: chmod g-w,o-w {path}"):
            TrustedPaths({0, os.geteuid()}).check_code([folder])
        path.chmod(before)


def test_a_group_of_the_owner_alone_is_nobody_else(monkeypatch):
    """With one group for each user, a checkout is writable for a group in which nobody is."""
    user = SimpleNamespace(pw_name="ada", pw_gid=1000)
    group = SimpleNamespace(gr_name="ada", gr_gid=1000, gr_mem=[])
    monkeypatch.setattr(trusted_paths.pwd, "getpwuid", lambda uid: user)
    monkeypatch.setattr(trusted_paths.grp, "getgrgid", lambda gid: group)
    found = SimpleNamespace(st_uid=1000, st_gid=1000, st_mode=0o40775)
    assert not trusted_paths._open_to(found, path_above=True)
    assert trusted_paths._open_to(found, path_above=False), "in an instance every bit is said"
    group.gr_mem = ["ada", "eve"]
    assert trusted_paths._open_to(found, path_above=True)
    group.gr_mem, found.st_mode = [], 0o40777
    assert trusted_paths._open_to(found, path_above=True)
