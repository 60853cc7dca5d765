"""Pinned packages: every extra has its file with hashes, of the releases the tests run with."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
NAMES = sorted(EXTRAS)
ENTRY = re.compile(r"^([\w.-]+)==([\w.]+)(.*(?:\n    .*)*)", re.MULTILINE)
FILES = ["requirements.txt", "tests/requirements.txt"]
# The extra installs the library with its GPU parts, the tests its twin without them.
NOT_TESTED = {"xgboost", "nvidia-nccl-cu12", "nvidia-nccl-cu13"}
ELSEWHERE = ("win32", "python_full_version < '3.11.3'")


def entries(path):
    """Return what a file pins: name, version, and what stands behind it."""
    return ENTRY.findall((ROOT / path).read_text("utf-8"))


@pytest.fixture(scope="module")
def tested():
    return {(name, version) for path in FILES for name, version, _ in entries(path)}


def test_there_is_a_file_for_each_extra_and_for_nothing_else():
    assert sorted(path.stem for path in (ROOT / "deploy/extras").iterdir()) == NAMES


@pytest.mark.parametrize("path", [*FILES, *(f"deploy/extras/{name}.txt" for name in NAMES)])
def test_every_package_has_its_hashes(path):
    found = entries(path)
    assert found
    assert [name for name, _, rest in found if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_extra_adds_what_is_not_there_in_the_releases_that_were_tested(name, tested):
    core = {name for name, _, _ in entries("requirements.txt")}
    added = [
        (name, version)
        for name, version, rest in entries(f"deploy/extras/{name}.txt")
        if not any(where in rest for where in ELSEWHERE) and name not in NOT_TESTED
    ]
    assert [found for found in added if found not in tested or found[0] in core] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_extra_brings_each_package_that_it_is_made_from(name):
    wanted = {re.match(r"[\w.-]+", line)[0].lower() for line in EXTRAS[name]}
    core = {found for found, _, _ in entries("requirements.txt")}
    assert wanted <= core | {found for found, _, _ in entries(f"deploy/extras/{name}.txt")}


def test_an_extra_that_is_named_anywhere_exists():
    places = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
    places += [path for top in ("secureml", "plugins") for path in (ROOT / top).rglob("*.*")]
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in places
        if path.suffix in (".md", ".py")
        for name in re.findall(r"script/extras ([a-z0-9]+)", path.read_text("utf-8"))
    }
    assert {"plugins/traces/plugin.py", "docs/secrets.md"} <= {path for path, _ in named}
    assert [found for found in sorted(named) if found[1] not in EXTRAS] == []


def test_the_command_lists_extras_and_refuses_one_that_is_none():
    listed = subprocess.run(
        [ROOT / "script/extras"], capture_output=True, text=True, check=True, timeout=30
    )
    assert listed.stdout.split() == NAMES
    refused = subprocess.run(
        [ROOT / "script/extras", "../../requirements"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "there is no extra ../../requirements; fix: one of aws " in refused.stderr
