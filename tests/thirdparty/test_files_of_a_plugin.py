"""A plugin that lives elsewhere declares a file: it is made, protected, backed up and restored."""

from __future__ import annotations

import stat
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from secureml import ConfigError
from secureml.cli.main import CommandContext, secureml
from secureml.core import build_core
from secureml.layout import check_modes

PACKAGE = Path(__file__).parent / "acme_pseudonyms"
KEY = "pseudonyms/current.key"


def run(instance: Path, *words: object) -> Result:
    return CliRunner().invoke(
        secureml, [str(word) for word in words], obj=CommandContext(str(instance))
    )


def add(instance: Path, plugin: str) -> None:
    """Add a plugin at the end of the list."""
    file = instance / "secureml.toml"
    file.write_text(file.read_text().replace('"audit_log"]', f'"audit_log", "{plugin}"]'))


@pytest.fixture
def instance(fresh_instance: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance whose settings name the plugin, and on which `init` was run again."""
    monkeypatch.syspath_prepend(PACKAGE)
    add(fresh_instance, "acme_pseudonyms:Pseudonyms")
    with pytest.raises(ConfigError, match="fix: run `secureml init`"):
        build_core(fresh_instance)
    done = run(fresh_instance, "init")
    assert done.exit_code == 0, done.output
    assert KEY in done.output
    return fresh_instance


def test_init_makes_it_with_its_mode_and_the_start_accepts_it(instance: Path) -> None:
    assert stat.S_IMODE((instance / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((instance / KEY).parent.stat().st_mode) == 0o700
    key = (instance / KEY).read_bytes()
    assert run(instance, "init").exit_code == 0
    assert (instance / KEY).read_bytes() == key
    build_core(instance).close()


@pytest.mark.parametrize("more", [0o040, 0o004, 0o001])
@pytest.mark.parametrize("path", [KEY, "pseudonyms"])
def test_attack_others_do_not_read_it(instance: Path, path: str, more: int) -> None:
    mode = stat.S_IMODE((instance / path).stat().st_mode)
    (instance / path).chmod(mode | more)
    check_modes(instance)  # by the core's own declarations nothing is wrong
    with pytest.raises(ConfigError, match=r"keys? of pseudonyms") as refused:
        build_core(instance)
    assert refused.value.fix == f"chmod {mode:o} {instance / path}"


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("access_log", f'file = "{KEY}"'),
        ("access_log", 'file = "pseudonyms/lines"'),
        ("rate_limit", f'counters = "{KEY}"'),
        ("audit_log", 'folder = "pseudonyms"'),
    ],
)
def test_attack_no_setting_writes_over_it_or_beside_it(
    instance: Path, table: str, line: str
) -> None:
    file = instance / "secureml.toml"
    text, heading = file.read_text(), f"[plugins.{table}]\n"
    text = text if heading in text else f"{text}\n{heading}"
    file.write_text(text.replace(heading, f"{heading}{line}\n"))
    with pytest.raises(ConfigError, match=r"would be written over or into .* of pseudonyms"):
        build_core(instance)


def test_a_backup_holds_it_and_restore_brings_it_back(instance: Path, tmp_path: Path) -> None:
    file, again = tmp_path / "backup.tar.gz", tmp_path / "again"
    assert run(instance, "backup", file).exit_code == 0
    with tarfile.open(file) as tar:
        assert f"instance/{KEY}" in tar.getnames()
    done = run(again, "restore", file)
    assert done.exit_code == 0, done.output
    assert (again / KEY).read_bytes() == (instance / KEY).read_bytes()
    assert stat.S_IMODE((again / KEY).stat().st_mode) == 0o600
    build_core(again).close()


def test_a_backup_does_not_hold_what_is_declared_as_made_anew(
    instance: Path, tmp_path: Path, module: Callable[..., None]
) -> None:
    module(
        "acme_cache", "cache", 'InstanceFile("cache", "a cache", 0o700, folder=True, backup=False)'
    )
    add_last(instance, "acme_cache:Declaring")
    assert run(instance, "init").exit_code == 0
    (instance / "cache" / "row").write_text("made anew")
    file = tmp_path / "backup.tar.gz"
    assert run(instance, "backup", file).exit_code == 0
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert f"instance/{KEY}" in names
    assert not [name for name in names if "cache/" in name]


def test_two_plugins_that_claim_one_path_stop_the_start_with_both_names(
    instance: Path, module: Callable[..., None]
) -> None:
    module("acme_other", "other_names", f'InstanceFile("{KEY}", "my key")')
    add_last(instance, "acme_other:Declaring")
    with pytest.raises(ConfigError) as refused:
        build_core(instance)
    assert {"pseudonyms", "other_names"} <= set(refused.value.message.split())
    assert refused.value.file == str(instance / "secureml.toml")
    assert run(instance, "init").exit_code != 0


@pytest.mark.parametrize(
    ("path", "accepted"), [("notes/today", True), ("notes", False), ("pseudonyms/today", False)]
)
def test_a_setting_may_name_a_file_in_a_folder_of_its_own_plugin_and_of_no_other(
    instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, accepted: bool
) -> None:
    (tmp_path / "package").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "package")
    monkeypatch.delitem(sys.modules, "acme_notes", raising=False)
    (tmp_path / "package" / "acme_notes.py").write_text(
        "from marshmallow import Schema\n"
        "from secureml import Plugin\nfrom secureml.kit import fields\n"
        "from secureml.kit.instance_file import InstanceFile\n\n\n"
        "class Config(Schema):\n"
        f'    file = fields.InstancePath(load_default="{path}", writes=fields.Writes())\n\n\n'
        "class Notes(Plugin):\n"
        '    name = "notes"\n'
        "    schema = Config\n"
        '    instance_files = (InstanceFile("notes", "notes", 0o750, folder=True),)\n'
    )
    add_last(instance, "acme_notes:Notes")
    if accepted:
        build_core(instance).close()
        return
    with pytest.raises(ConfigError, match=r"\[plugins.notes\] file: .* written over or into"):
        build_core(instance)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a module with a plugin that declares a file and does nothing else."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(name: str, plugin: str, declared: str) -> None:
        (folder / f"{name}.py").write_text(
            "from secureml import Plugin\n"
            "from secureml.kit.instance_file import InstanceFile\n\n\n"
            "class Declaring(Plugin):\n"
            f'    name = "{plugin}"\n'
            f"    instance_files = ({declared},)\n\n"
            "    def __init__(self, config, host):\n"
            "        pass\n"
        )

    return write


def add_last(instance: Path, plugin: str) -> None:
    """Add a plugin after the one of the fixture."""
    file = instance / "secureml.toml"
    mine = '"acme_pseudonyms:Pseudonyms"'
    file.write_text(file.read_text().replace(mine, f'{mine}, "{plugin}"'))


def test_the_answer_names_the_caller_by_the_key(tmp_path: Path, monkeypatch: Any) -> None:
    """The printed plugin does what its page says."""
    monkeypatch.syspath_prepend(PACKAGE)
    from acme_pseudonyms import Pseudonyms
    from werkzeug.datastructures import Headers

    from secureml import Principal
    from secureml.testing import Harness

    harness = Harness(tmp_path)
    (tmp_path / KEY).parent.mkdir()
    (tmp_path / KEY).write_bytes(b"k" * 32)
    plugin, exchange, headers = harness.build(Pseudonyms), harness.exchange(), Headers()
    plugin.respond(exchange, headers)
    assert not headers
    exchange.principal = Principal(
        "ann", "ann", frozenset({"predict"}), frozenset({"*"}), "", "test", ""
    )
    plugin.respond(exchange, headers)
    assert len(headers["X-Caller"]) == 16
