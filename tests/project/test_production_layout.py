"""On a public server the service writes its store, logs and counters and nothing else."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from secureml import layout
from secureml.app import create_app
from secureml.cli.main import CommandContext, secureml
from secureml.pipeline import builtin_plugins, file_claims, loader
from secureml.settings import read

CHECKOUT = Path(__file__).resolve().parents[2]
INSTANCE = "/var/lib/secureml"


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder, for 100 % of it"
    words = ["init", "--profile", "production", "--host", "ml.example.org"]
    done = CliRunner().invoke(secureml, words, obj=CommandContext(str(folder)))
    assert done.exit_code == 0, done.output
    return folder


def writable(unit: str) -> set[str]:
    """Return what a unit may write, by its place in the instance folder."""
    text = (CHECKOUT / "deploy" / "systemd" / unit).read_text("utf-8")
    (paths,) = re.findall(r"^ReadWritePaths=(.+)$", text, re.MULTILINE)
    return {word.removeprefix(f"-{INSTANCE}/") for word in paths.split()}


def test_init_gives_the_store_a_folder_of_its_own(instance: Path) -> None:
    store = instance / "store"
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert stat.S_IMODE((store / "secureml.db").stat().st_mode) == 0o600
    assert not (instance / "secureml.db").exists()
    url = tomllib.loads((instance / "secureml.toml").read_text("utf-8"))["store"]["url"]
    # Relative: a copy of the folder elsewhere must use its own.
    assert url == "sqlite:///store/secureml.db"
    assert sa.make_url(read(instance).store_url).database == str(store / "secureml.db")


def test_a_second_init_leaves_all_of_it_alone(instance: Path) -> None:
    before = (instance / "secureml.toml").read_bytes()
    words = ["init", "--profile", "production", "--host", "other.example.org"]
    assert CliRunner().invoke(secureml, words, obj=CommandContext(str(instance))).exit_code == 0
    assert (instance / "secureml.toml").read_bytes() == before


def test_all_that_serving_writes_lies_where_the_unit_lets_it_write(instance: Path) -> None:
    allowed = writable("secureml.service")
    owned = file_claims.files(loader.find(builtin_plugins.DEFAULT))
    declared = {file.path for file in (*layout.FOLDERS, *layout.FILES, *owned)
                if file.folder and file.service_writes}  # fmt: skip
    assert allowed == declared == {"store", "logs", "run/metrics"}
    before = {path: path.stat().st_mtime_ns for path in instance.rglob("*") if path.is_file()}
    caller = create_app(instance).test_client()
    assert caller.get("/healthz").status_code in {403, 421}  # refused, and written down
    touched = {path for path in instance.rglob("*") if path.is_file() and path not in before}
    touched |= {path for path, then in before.items() if path.stat().st_mtime_ns != then}
    assert touched
    assert {path.relative_to(instance).parts[0] for path in touched} <= allowed


def test_the_timer_may_write_the_signing_keys_as_well() -> None:
    allowed = writable("secureml-signing-keys.service")
    assert allowed == {"store", "logs", "keys/signing"}


def test_the_timer_that_proves_the_audit_log_writes_no_more_than_serving_does() -> None:
    assert writable("secureml-audit.service") == {"store", "logs"}


@pytest.mark.parametrize(
    "unit", ["secureml.service", "secureml-signing-keys.service", "secureml-audit.service"]
)
def test_systemd_is_not_told_to_give_the_folder_away(unit: str) -> None:
    """StateDirectory makes the service owner of all that lies in it."""
    text = (CHECKOUT / "deploy" / "systemd" / unit).read_text("utf-8")
    assert "\nStateDirectory" not in text
    assert "\nProtectSystem=strict\n" in text


def test_the_logrotate_example_is_for_the_file_that_is_written(instance: Path) -> None:
    text = (CHECKOUT / "deploy" / "logrotate" / "secureml").read_text("utf-8")
    create_app(instance)
    logs = {f"{INSTANCE}/logs/{path.name}" for path in (instance / "logs").iterdir()}
    assert set(re.findall(r"^(/\S+) \{$", text, re.MULTILINE)) == logs
    unit = (CHECKOUT / "deploy" / "systemd" / "secureml.service").read_text("utf-8")
    (user,) = re.findall(r"^User=(.+)$", unit, re.MULTILINE)
    assert f"    su {user} {user}\n" in text
