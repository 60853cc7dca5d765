"""Attack: leave a module in the folder where somebody will run a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secureml.import_path import leave_working_directory

CHECKOUT = Path(__file__).parents[2]
# What each command imports only after it has begun: names of the project's own libraries.
DECOYS = ("click", "flask", "numpy", "sklearn", "joblib", "argon2", "sqlalchemy", "plugins")
CONF = str(CHECKOUT / "deploy/gunicorn.conf.py")


@pytest.fixture
def trap(tmp_path):
    """Return a folder in which every import leaves a mark, and prove that none was made."""
    folder, mark = tmp_path / "downloads", tmp_path / "imported"
    folder.mkdir()
    for name in DECOYS:
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    yield folder
    assert not mark.exists(), mark.read_text()


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """Return the console command as `script/environment` writes it, in a checkout of links."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("secureml", "plugins", "script"):
        (folder / name).symlink_to(CHECKOUT / name)
    venv = folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    real = Path(sys.prefix)
    (venv / "lib").symlink_to(real / "lib")
    (venv / "pyvenv.cfg").write_text((real / "pyvenv.cfg").read_text())
    (venv / "bin/python").symlink_to((real / "bin/python").resolve())
    subprocess.run(
        ["bash", "-c", ". script/environment; write_command"], cwd=folder, check=True, timeout=60
    )
    return [str(venv / "bin/secureml")]


def run(command, folder, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        command,
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("path", [None, "", ":", f":{CHECKOUT}"])
def test_the_console_command_imports_nothing_from_where_it_is_run(console, trap, tmp_path, path):
    words = {} if path is None else {"PYTHONPATH": path}
    instance = str(tmp_path / "instance")
    made = run([*console, "init", "--instance", instance], trap, **words)
    listed = run([*console, "models", "list", "--instance", instance], trap, **words)

    assert (made.returncode, made.stderr) == (0, made.stderr)
    assert listed.returncode == 0, listed.stderr


def test_the_module_run_by_python_imports_nothing_from_where_it_is_run(trap, tmp_path):
    command = [sys.executable, "-m", "secureml.cli", "init", "--instance", str(tmp_path / "i")]
    done = run(command, trap, PYTHONPATH=str(CHECKOUT))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [[], ["-P"]])
def test_gunicorn_imports_nothing_from_where_it_is_started(trap, tmp_path, words):
    command = [sys.executable, *words, "-m", "gunicorn", "--check-config", "-c", CONF]
    done = run(command, trap, SECUREML_INSTANCE=str(tmp_path / "none"))

    assert done.returncode != 0
    assert "secureml:" in done.stderr, done.stderr


def test_the_trap_works(tmp_path):
    mark = tmp_path / "imported"
    (tmp_path / "click.py").write_text(f"open({str(mark)!r}, 'a').close()\n")
    run([sys.executable, "-c", "import click"], tmp_path)

    assert mark.exists()


def left(monkeypatch, folder, path, named=""):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", named)
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # put back as it was, after the test
    monkeypatch.setattr(sys, "path", path)
    leave_working_directory()
    return sys.path


@pytest.mark.parametrize("entry", ["", ".", "{here}", "{here}/../{name}"])
def test_the_working_directory_goes_in_every_spelling(monkeypatch, tmp_path, entry):
    entry = entry.format(here=tmp_path, name=tmp_path.name)

    assert left(monkeypatch, tmp_path, [entry, "/usr/lib"]) == ["/usr/lib"]


def test_a_link_to_the_working_directory_goes_as_well(monkeypatch, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert left(monkeypatch, tmp_path / "real", [str(tmp_path / "link")]) == []


def test_what_was_named_and_what_is_ours_stays(monkeypatch, tmp_path):
    plugin, checkout = str(tmp_path), str(CHECKOUT)

    assert left(monkeypatch, tmp_path, [plugin], named=plugin) == [plugin]
    assert left(monkeypatch, CHECKOUT, [checkout]) == [checkout]
    assert left(monkeypatch, Path(os.__file__).parent, [str(Path(os.__file__).parent)])


@pytest.mark.parametrize("unit", sorted(CHECKOUT.glob("deploy/systemd/*.service")), ids=str)
def test_every_unit_starts_python_without_a_folder_of_the_day(unit):
    words = unit.read_text().split()

    assert "PYTHONSAFEPATH=1" in words


def test_what_is_started_by_a_command_leaves_the_folder_too(monkeypatch, tmp_path):
    plugin = str(tmp_path / "plugin")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    left(monkeypatch, tmp_path, ["/usr/lib"], named=f":{plugin}:")

    assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ["PYTHONPATH"] == plugin


def test_a_path_of_nothing_but_the_folder_is_taken_away(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    left(monkeypatch, tmp_path, ["/usr/lib"], named=":")

    assert "PYTHONPATH" not in os.environ
