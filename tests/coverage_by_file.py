"""How much of each source file its own tests reach: lines and branches, worst last.

    python tests/coverage_by_file.py [SOURCE...]      # `script/test --coverage` calls it

A source's own tests are those that mirror it: ``test_<name>.py`` and ``test_<name>_<more>.py``
in the mirrored folder. What other tests reach counts for nothing, so that a number says what a
change of that file would be caught by. What runs when a module is imported, which any test does,
counts for all; what a fixture of the whole session does counts for none.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import coverage
import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("secureml", "plugins")
IMPORT, SHARED = "import", "fixture of the session"  # contexts beside those of test files


@dataclass(frozen=True)
class Reached:
    """What of a file its own tests reach: lines and branches, and how many of each there are."""

    file: str
    tests: tuple[str, ...]
    lines: int
    all_lines: int
    branches: int
    all_branches: int

    @property
    def share(self) -> float:
        """Lines and branches together, from 0 to 1; a file without any is reached."""
        every = self.all_lines + self.all_branches
        return (self.lines + self.branches) / every if every else 1.0


def own_tests(source: str, sources: Collection[str], tests: Iterable[str]) -> tuple[str, ...]:
    """Return the test files that mirror a source; all are paths within the checkout.

    ``test_rule_config.py`` mirrors ``rule_config.py`` where there is one, and not ``rule.py``.
    """
    path = PurePosixPath(source)
    folder = PurePosixPath("tests") / path.parent
    beside = {
        PurePosixPath(each).stem for each in sources if PurePosixPath(each).parent == path.parent
    }
    return tuple(
        sorted(
            test
            for test in tests
            if PurePosixPath(test).parent == folder
            and _mirrored(PurePosixPath(test).stem, beside) == path.stem
        )
    )


def _mirrored(test: str, stems: Collection[str]) -> str:
    """Return the longest of the stems that a test's name begins with, "" for none."""
    name = test.removeprefix("test_")
    found = [stem for stem in stems if name == stem or name.startswith(f"{stem}_")]
    return max(found, key=len, default="")


def package_of(file: str) -> str:
    """Return what a file is summed up under: a plugin, or a folder of the core."""
    parts = PurePosixPath(file).parts
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def summed(found: Iterable[Reached]) -> list[Reached]:
    """Return one sum for each package, and one of all, the best first."""
    by_package: dict[str, list[Reached]] = {}
    for each in found:
        by_package.setdefault(package_of(each.file), []).append(each)
    sums = [_sum(package, each) for package, each in by_package.items()]
    return [*best_first(sums), _sum("all", sums)]


def _sum(name: str, parts: Iterable[Reached]) -> Reached:
    columns = [(p.lines, p.all_lines, p.branches, p.all_branches) for p in parts]
    return Reached(name, (), *(sum(column) for column in zip(*columns, strict=True)))


def best_first(found: Iterable[Reached]) -> list[Reached]:
    """Return the same with the worst last, where a reader of a terminal looks first."""
    return sorted(found, key=lambda each: (-each.share, each.file))


def table(found: Iterable[Reached]) -> Iterator[str]:
    """Yield the rows: percent of lines, percent of branches, the file, and what it lacks."""
    yield f"{'lines':>6} {'branches':>8}  file"
    for each in found:
        lacks = "" if each.tests or not each.file.endswith(".py") else "  (no tests of its own)"
        yield (
            f"{_percent(each.lines, each.all_lines):>6} "
            f"{_percent(each.branches, each.all_branches):>8}  {each.file}{lacks}"
        )


def _percent(part: int, whole: int) -> str:
    # Rounded down: 100 is said of what is whole.
    return f"{part * 100 // whole}%" if whole else "-"


def reached(file: str, tests: tuple[str, ...], summary: Mapping[str, int]) -> Reached:
    """Return what coverage's JSON report sums up of a file."""
    return Reached(
        file,
        tests,
        summary["covered_lines"],
        summary["num_statements"],
        summary.get("covered_branches", 0),
        summary.get("num_branches", 0),
    )


# -- the runs ----------------------------------------------------------------------------------


class Contexts:
    """Tells coverage on whose account a line is run: the test file that is at work."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured, self._now = measured, IMPORT

    def _switch(self, context: str) -> str:
        before, self._now = self._now, context
        self._measured.switch_context(context)
        return before

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """A test file is imported: what its parameters are made of is its own."""
        before = self._switch(_within(collector.path))
        try:
            return (yield)
        finally:
            self._switch(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = self._switch(_within(item.path))
        try:
            return (yield)
        finally:
            self._switch(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
        """What is made once belongs to whoever asked for it first by chance alone."""
        before = self._switch(SHARED if fixturedef.scope == "session" else self._now)
        try:
            return (yield)
        finally:
            self._switch(before)


def _within(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix() if path.is_relative_to(CHECKOUT) else str(path)


def measured_in(data: Path) -> coverage.Coverage:
    """Return a measurement as pyproject.toml sets it up, kept in that file."""
    return coverage.Coverage(data_file=data, config_file=CHECKOUT / "pyproject.toml")


def run_part(data: Path, tests: list[str]) -> int:
    """Run test files in this process, each in a context of its own; return pytest's exit code."""
    measured = measured_in(data)
    measured.start()
    measured.switch_context(IMPORT)
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(folder, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    code = pytest.main([*options, *tests], plugins=[Contexts(measured)])
    measured.stop()
    measured.save()
    return int(code)


def run_folder(data: Path, tests: list[str]) -> tuple[int, str]:
    """Run the tests of a folder in a process of their own; return exit code and what it said."""
    done = subprocess.run(
        [sys.executable, __file__, "--part", str(data), *tests],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def main(wanted: list[str]) -> int:
    """Run the tests of the sources that are wanted, all by default; print the table."""
    sources = sorted(
        _within(path)
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("*.py")
        if path.stem not in ("__init__", "__main__")
    )
    tests = [
        _within(path)
        for package in PACKAGES
        for path in (CHECKOUT / "tests" / package).rglob("test_*.py")
    ]
    chosen = [s for s in sources if not wanted or any(_is_below(s, each) for each in wanted)]
    owned = {source: own_tests(source, sources, tests) for source in chosen}
    with tempfile.TemporaryDirectory() as folder:
        failed = run_all({test for own in owned.values() for test in own}, Path(folder))
        found = [*report(owned, Path(folder))]
    sys.stdout.writelines(
        f"{row}\n" for row in [*table(best_first(found)), "", *table(summed(found))]
    )
    sys.stdout.writelines(f"\n{text}" for text in failed)
    return 1 if failed else 0


def _is_below(source: str, wanted: str) -> bool:
    return source == wanted or source.startswith(f"{wanted.rstrip('/')}/")


def run_all(tests: Iterable[str], folder: Path) -> list[str]:
    """Run test files, those of a folder together; return what the runs that failed said."""
    by_folder: dict[str, list[str]] = {}
    for test in sorted(tests):
        by_folder.setdefault(str(PurePosixPath(test).parent), []).append(test)
    data = [folder / f"{number}.part" for number in range(len(by_folder))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ended = [*pool.map(run_folder, data, by_folder.values())]
    measured = measured_in(folder / "all")
    measured.combine([str(each) for each in data if each.exists()])
    measured.save()
    return [said for code, said in ended if code not in (pytest.ExitCode.OK, 5)]


def report(owned: Mapping[str, tuple[str, ...]], folder: Path) -> Iterator[Reached]:
    """Yield what each source's own tests reach of it."""
    measured = measured_in(folder / "all")
    measured.load()
    for source, tests in owned.items():
        out = folder / "report.json"
        contexts = [f"^{re.escape(context)}$" for context in (IMPORT, *tests)]
        measured.json_report([str(CHECKOUT / source)], outfile=str(out), contexts=contexts)
        (of_file,) = json.loads(out.read_text("utf-8"))["files"].values()
        yield reached(source, tests, of_file["summary"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How much of each file its own tests reach.")
    parser.add_argument("--part", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", metavar="SOURCE", help="files or folders; all without")
    words = parser.parse_args()
    sys.path.insert(0, str(CHECKOUT))
    sys.exit(run_part(Path(words.part), words.paths) if words.part else main(words.paths))
