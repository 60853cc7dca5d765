"""Each path of the instance folder has one owner; two that claim it stop the start, by name."""

from __future__ import annotations

import pytest

from secureml import ConfigError, Plugin
from secureml.kit.instance_file import InstanceFile
from secureml.layout import FILES, FOLDERS, ROOT, SHARED
from secureml.pipeline import builtin_plugins, file_claims


def owner(name, *files):
    return type(name.title(), (Plugin,), {"name": name, "instance_files": files})


def file(path, **words):
    return InstanceFile(path, "what it holds", **words)


def folder(path, **words):
    return InstanceFile(path, "what it holds", 0o750, folder=True, **words)


def refusal(*classes):
    with pytest.raises(ConfigError) as refused:
        file_claims.claims(classes)
    assert (refused.value.table, refused.value.key) == ("secureml", "plugins")
    assert refused.value.fix
    return str(refused.value)


def test_two_plugins_that_declare_one_path_are_both_named():
    said = refusal(owner("ledger", file("keys/k")), owner("census", file("keys/k")))
    assert "ledger and census both declare 'keys/k'" in said


def test_a_file_in_the_folder_of_another_plugin_is_refused_with_both_names():
    said = refusal(owner("ledger", file("census/k")), owner("census", folder("census")))
    assert "ledger declares 'census/k', which is in 'census', a folder of census" in said


def test_a_path_declared_twice_is_refused():
    assert "ledger declares twice 'a'" in refusal(owner("ledger", file("a"), file("a")))


@pytest.mark.parametrize("own", [ROOT, *FOLDERS, *FILES], ids=lambda own: own.path)
def test_attack_a_path_of_the_core_cannot_be_claimed(own):
    assert "belongs to the core" in refusal(owner("ledger", file(own.path)))


@pytest.mark.parametrize(
    "own", [own for own in FOLDERS if own.path not in SHARED], ids=lambda own: own.path
)
def test_attack_a_file_among_those_of_the_core_cannot_be_claimed(own):
    """A model, a signing key, a file for Nginx."""
    assert "belongs to the core" in refusal(owner("ledger", file(f"{own.path}/k", backup=False)))


@pytest.mark.parametrize("path", sorted(SHARED))
def test_folders_that_all_share_take_files_of_plugins(path):
    claimed = file(f"{path}/k", backup=False)
    assert file_claims.files([owner("ledger", claimed)]) == [claimed]


def test_a_folder_that_has_no_mode_holds_no_file():
    said = refusal(owner("ledger", file("ledger/k")))
    assert "'ledger/k' is in a folder that no plugin declares" in said
    assert "declare 'ledger' too, with folder=True" in said


def test_what_is_made_anew_at_each_start_cannot_be_in_a_backup():
    assert "'run/', which is made anew" in refusal(owner("ledger", file("run/k")))
    declared = (folder("cache", backup=False), file("cache/k"))
    assert "'cache', which no backup holds" in refusal(owner("ledger", *declared))


def test_folders_come_before_what_is_in_them():
    found = file_claims.claims([owner("ledger", file("a/b/c"), folder("a/b"), folder("a"))])
    assert [claim.file.path for claim in found] == ["a", "a/b", "a/b/c"]
    assert {claim.plugin for claim in found} == {"ledger"}


def test_no_backup_holds_what_the_core_and_plugins_make_anew():
    claimed = [file("a"), file("run/b", backup=False)]
    assert list(file_claims.left_out(claimed)) == ["run", "nginx", "run/b"]


def test_all_built_in_plugins_can_be_enabled_at_once():
    classes = builtin_plugins.classes()
    assert [cls.name for cls in classes] == builtin_plugins.names()
    assert file_claims.claims(classes)
