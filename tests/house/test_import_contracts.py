"""Each import contract in pyproject.toml breaks when someone goes against it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LAYERS, CORRIDOR, STATE = (
    "arrows point down in the house",
    "inside the corridor",
    "inside the state",
)
STRANGERS, HOUSE, DOOR = (
    "plugins are strangers to one another",
    "the house knows no plugin",
    "plugins use the front door",
)

# What is planted: a file, the line added to it, and the contracts that must then be broken.
VIOLATIONS: dict[str, tuple[str, str, set[str]]] = {
    "a plugin knows its neighbour": (
        "plugins/scopes/plugin.py", "from plugins.api_keys import key", {STRANGERS},
    ),
    "a plugin reaches into the corridor": (
        "plugins/scopes/plugin.py", "from secureml.corridor import pipeline", {DOOR},
    ),
    "a plugin reaches into the store": (
        "plugins/api_keys/ring.py", "import secureml.state.store", {DOOR},
    ),
    "the house knows a plugin": (
        "secureml/corridor/loader.py", "import plugins.api_keys.key", {HOUSE},
    ),
    "the house knows a plugin, inside a function": (
        "secureml/app.py", "def late():\n    import plugins.scopes", {HOUSE},
    ),
    "the state knows the corridor": (
        "secureml/state/store.py", "import secureml.corridor.problems", {LAYERS},
    ),
    "the models know the state": (
        "secureml/models/handle.py", "import secureml.state.secret", {LAYERS},
    ),
    "the settings know the command line": (
        "secureml/settings.py", "import secureml.cli.output", {LAYERS},
    ),
    "a later room of the corridor is used by an earlier": (
        "secureml/corridor/phases.py", "import secureml.corridor.pipeline", {CORRIDOR},
    ),
    "the payload knows the exchange": (
        "secureml/corridor/payload.py", "import secureml.corridor.exchange", {CORRIDOR},
    ),
    "the store knows the clients": (
        "secureml/state/store.py", "import secureml.state.clients", {STATE},
    ),
    "a new file with no place in the house": ("secureml/misc.py", "", {LAYERS}),
    "a new file with no place in the corridor": ("secureml/corridor/misc.py", "", {CORRIDOR}),
    "a new file with no place in the state": ("secureml/state/misc.py", "", {STATE}),
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of the code alone, to plant things in."""
    for package in ("secureml", "plugins"):
        shutil.copytree(
            CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def verdicts(checkout: Path) -> tuple[int, str, dict[str, str]]:
    """Run the linter; return its exit code, its words, and KEPT or BROKEN by contract."""
    linter = Path(sys.prefix, "bin/lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--config", "pyproject.toml"],
        cwd=checkout, capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(checkout)},
    )  # fmt: skip
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    found = {name: word for name, _, word in lines if word in ("KEPT", "BROKEN")}
    return done.returncode, done.stdout + done.stderr, found


def test_the_code_as_it_is_keeps_every_contract(copy: Path) -> None:
    code, words, found = verdicts(copy)
    assert code == 0, words
    every = (LAYERS, CORRIDOR, STATE, STRANGERS, HOUSE, DOOR)
    assert found == dict.fromkeys(every, "KEPT")


@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_planted_violation_breaks_the_contract_by_name(copy: Path, case: str) -> None:
    file, line, broken = VIOLATIONS[case]
    with (copy / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    code, words, found = verdicts(copy)
    assert code != 0
    named = {name for name, word in found.items() if word == "BROKEN"}
    assert named == broken, words


def test_every_contract_is_broken_by_something_above() -> None:
    assert set().union(*(broken for _, _, broken in VIOLATIONS.values())) == {
        LAYERS, CORRIDOR, STATE, STRANGERS, HOUSE, DOOR,
    }  # fmt: skip
