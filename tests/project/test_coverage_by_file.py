"""`script/test --coverage` tells of each file what its own tests reach, and of no other test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.coverage_by_file import (
    CHECKOUT,
    Reached,
    best_first,
    own_tests,
    package_of,
    reached,
    summed,
    table,
)

SOURCES = [
    "plugins/rate_limit/rule.py",
    "plugins/rate_limit/rule_config.py",
    "plugins/rate_limit/rules.py",
    "plugins/jwt/rules.py",
    "secureml/api.py",
]
TESTS = [
    "tests/plugins/rate_limit/test_rule.py",
    "tests/plugins/rate_limit/test_rule_order.py",
    "tests/plugins/rate_limit/test_rule_config.py",
    "tests/plugins/rate_limit/test_rule_config_file.py",
    "tests/plugins/rate_limit/test_rules_allowance.py",
    "tests/secureml/test_api_schemas.py",
    "tests/live/test_rules.py",
]


@pytest.mark.parametrize(
    ("source", "tests"),
    [
        ("plugins/rate_limit/rule.py", ["test_rule.py", "test_rule_order.py"]),
        ("plugins/rate_limit/rule_config.py", ["test_rule_config.py", "test_rule_config_file.py"]),
        ("plugins/rate_limit/rules.py", ["test_rules_allowance.py"]),
        ("plugins/jwt/rules.py", []),
    ],
)
def test_a_file_has_the_tests_that_mirror_it_and_none_of_its_neighbour(source, tests):
    found = own_tests(source, SOURCES, TESTS)
    assert list(found) == [f"tests/plugins/rate_limit/{test}" for test in tests]


def test_a_name_that_only_begins_alike_is_no_mirror():
    beside = [*SOURCES, "secureml/api_schemas.py"]
    assert own_tests("secureml/api.py", beside, TESTS) == ()
    assert own_tests("secureml/api_schemas.py", beside, TESTS) == (
        "tests/secureml/test_api_schemas.py",
    )


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("secureml/api.py", "secureml"),
        ("secureml/models/rows/cells.py", "secureml/models"),
        ("plugins/jwt/plugin.py", "plugins/jwt"),
    ],
)
def test_files_are_summed_up_by_plugin_and_by_folder_of_the_core(file, package):
    assert package_of(file) == package


WHOLE = Reached("plugins/a/one.py", ("t",), 10, 10, 4, 4)
HALF = Reached("plugins/a/two.py", ("t",), 5, 10, 1, 2)
EMPTY = Reached("plugins/b/three.py", (), 0, 0, 0, 0)
NONE = Reached("secureml/four.py", (), 0, 10, 0, 0)


def test_the_worst_is_last():
    assert best_first([NONE, HALF, EMPTY, WHOLE]) == [WHOLE, EMPTY, HALF, NONE]


def test_sums_are_of_lines_and_branches_and_not_of_percentages():
    assert summed([NONE, HALF, WHOLE]) == [
        Reached("plugins/a", (), 15, 20, 5, 6),
        Reached("secureml", (), 0, 10, 0, 0),
        Reached("all", (), 15, 30, 5, 6),
    ]


def test_the_table_says_who_has_no_tests_and_rounds_down():
    nearly = Reached("plugins/a/five.py", ("t",), 999, 1000, 0, 0)
    assert list(table([nearly, NONE])) == [
        " lines branches  file",
        "   99%        -  plugins/a/five.py",
        "    0%        -  secureml/four.py  (no tests of its own)",
    ]


def test_a_report_without_branches_is_read_as_one_with_none():
    summary = {"covered_lines": 3, "num_statements": 4}
    assert reached("a.py", (), summary) == Reached("a.py", (), 3, 4, 0, 0)


@pytest.mark.slow
def test_a_file_is_measured_by_its_own_tests_and_by_no_other(tmp_path):
    """A small checkout: what another file's test calls is not reached, an import is."""
    files = {
        "pyproject.toml": '[tool.coverage.run]\nbranch = true\nsource = ["secureml", "plugins"]\n'
        '[tool.pytest.ini_options]\npythonpath = ["."]\naddopts = "--import-mode=importlib"\n',
        "secureml/__init__.py": "",
        "plugins/__init__.py": "",
        "plugins/a/__init__.py": "",
        "plugins/a/one.py": "def one(n):\n    if n:\n        return 1\n    return 0\n",
        "plugins/a/two.py": "from plugins.a.one import one\n\n\ndef two():\n    return one(1)\n",
        "tests/plugins/a/test_one.py": "from plugins.a.one import one\n\n\n"
        "def test_one():\n    assert one(0) == 0\n",
        "tests/plugins/a/test_two.py": "from plugins.a.two import two\n\n\n"
        "def test_two():\n    assert two() == 2\n",
        "tests/coverage_by_file.py": (CHECKOUT / "tests/coverage_by_file.py").read_text("utf-8"),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, str(Path("tests") / "coverage_by_file.py"), "plugins/a"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    rows = done.stdout.splitlines()
    assert rows[:3] == [
        " lines branches  file",
        "  100%        -  plugins/a/two.py",
        "   75%      50%  plugins/a/one.py",
    ], done.stdout + done.stderr
    # One of them fails, so its numbers are worth less: the reader is told which, and why.
    assert done.returncode == 1
    assert "test_two - assert 1 == 2" in done.stdout
