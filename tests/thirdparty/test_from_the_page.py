"""docs/plugins.md is enough: what it prints is a plugin that runs, tested as it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from secureml.app import create_app
from secureml.cli.main import Desk, secureml

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PAGE = (CHECKOUT / "docs" / "plugins.md").read_text("utf-8")
PLUGIN, TESTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(TOML,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two printed files, in a folder where Python finds them."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "acme_hours.py").write_text(PLUGIN, "utf-8")
    (folder / "test_acme_hours.py").write_text(TESTS, "utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "acme_hours", raising=False)
    return folder


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """A production instance whose settings say what the page adds to them."""
    folder = tmp_path / "instance"
    words = ["init", "--profile", "production", "--host", "ml.example.org"]
    done = CliRunner().invoke(secureml, words, obj=Desk(str(folder)))
    assert done.exit_code == 0, done.output
    file = folder / "secureml.toml"
    made = file.read_text("utf-8")
    ours, own = TOML.removeprefix("[secureml]\n").split("\n\n")
    kept, replaced = re.subn(r"plugins = \[.*?\]", ours, made, flags=re.DOTALL)
    assert replaced == 1
    file.write_text(f"{kept}\n{own}\n", "utf-8")
    return folder


def test_the_plugin_kept_here_is_the_printed_one() -> None:
    assert (HERE / "acme_hours" / "acme_hours.py").read_text("utf-8") == PLUGIN


def test_the_printed_list_is_the_one_init_writes_and_the_plugin(instance: Path) -> None:
    fresh = instance.parent / "fresh"
    CliRunner().invoke(secureml, ["init"], obj=Desk(str(fresh)))
    made = (fresh / "secureml.toml").read_text("utf-8")
    listed = re.search(r"plugins = \[(.*?)\]", made, re.DOTALL)
    printed = re.search(r"plugins = \[(.*?)\]", TOML, re.DOTALL)
    assert listed is not None
    assert printed is not None
    words = re.findall(r'"(.*?)"', printed[1])
    assert words == [*re.findall(r'"(.*?)"', listed[1]), "acme_hours:OpeningHours"]


# Nginx at the other end of the unix socket has no address.
_SOCKET = {"REMOTE_ADDR": ""}


def _key(instance: Path) -> str:
    """Return a fresh key of a client that may list models."""
    for words in (
        ["clients", "add", "ann", "--scope", "models:read"],
        ["api-keys", "issue", "ann"],
    ):
        done = CliRunner().invoke(secureml, [*words, "--json"], obj=Desk(str(instance)))
        assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["key"])


@pytest.mark.usefixtures("package")
def test_a_production_app_starts_with_it_by_its_import_path(instance: Path) -> None:
    night, noon = 1_767_225_600.0, 1_767_268_800.0
    clock = [night]
    caller = create_app(instance, now=lambda: clock[0]).test_client()
    headers = {
        "X-SecureML-Edge": (instance / "keys" / "edge-token").read_text().strip(),
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "ml.example.org",
    }
    words = {"headers": headers, "base_url": "http://ml.example.org", "environ_base": _SOCKET}
    assert caller.get("/healthz", **words).status_code == 200
    refused = caller.get("/v1/models", **words)
    assert refused.status_code == 401, "who nobody knows is not told our hours"
    headers["X-API-Key"] = _key(instance)
    closed = caller.get("/v1/models", **words)
    assert (closed.status_code, closed.json["code"]) == (503, "opening_hours.closed")
    clock[0] = noon
    assert caller.get("/v1/models", **words).json == {"models": []}


@pytest.mark.usefixtures("package")
def test_the_commands_show_it_at_its_door(instance: Path) -> None:
    done = CliRunner().invoke(secureml, ["phases"], obj=Desk(str(instance)))
    assert re.search(r"^LIMIT +rate_limit, opening_hours$", done.output, re.MULTILINE), done.output


def test_the_printed_tests_pass(package: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        [*command, "--rootdir", str(package), "-c", "/dev/null", str(package)],
        cwd=package, env={"PYTHONPATH": f"{CHECKOUT}:{package}"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_printed_code_passes_the_gates_of_the_house(package: Path) -> None:
    tools = Path(sys.executable).parent
    files = [str(package / name) for name in ("acme_hours.py", "test_acme_hours.py")]
    config = str(CHECKOUT / "pyproject.toml")
    # As a file of the tests would be judged: asserts are allowed there, nothing else is.
    gates = [
        [tools / "ruff", "check", "--no-cache", "--config", config, "--ignore", "S101", *files],
        [tools / "ruff", "format", "--no-cache", "--config", config, "--check", *files],
        [tools / "mypy", "--strict", "--config-file", config, "--cache-dir", "/dev/null", *files],
    ]
    for gate in gates:
        done = subprocess.run(
            gate, cwd=CHECKOUT, env={"MYPYPATH": f"{CHECKOUT}:{package}"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
