"""The tests of what was changed: for each changed file the ones that mirror it.

    python tests/changed.py      # prints them, for `script/test --quick`

Changed is what differs from the main branch where there is one, else from the last commit but one;
files that git does not track yet included. The checks of the whole project always belong to it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
ALWAYS = ("tests/project",)
# Servers and other programs take their time: they are for the whole suite.
NEVER = ("tests/live", "tests/attacks", "tests/bench", "tests/theft", "tests/journeys")


def mirrored_tests(changed: Iterable[str], there: Iterable[str]) -> list[str]:
    """Return the tests of changed files; ``there`` are all files of the checkout.

    A source has the tests ``test_<name>*.py`` in the mirrored folder; where it has none, as an
    ``__init__.py``, or where a file that tests share was changed, all tests of that folder.
    """
    tests = [file for file in there if Path(file).name.startswith("test_")]
    found = set(ALWAYS)
    for file in changed:
        path = Path(file)
        if file.startswith(NEVER) or path.suffix != ".py":
            continue
        if path.name.startswith("test_"):
            found.add(file)
            continue
        folder = path.parent if path.parts[0] == "tests" else Path("tests") / path.parent
        begins = f"{folder}/test_{path.stem}"
        mirrored = {test for test in tests if test.startswith(begins)}
        found |= mirrored or {test for test in tests if Path(test).parent == folder}
    return sorted(file for file in found if file in ALWAYS or file in tests)


def git(*words: str) -> list[str]:
    """Return the lines that git prints; none where it fails."""
    done = subprocess.run(
        ["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def changed_files() -> list[str]:
    """Return the files that differ from where this work began."""
    base = git("merge-base", "HEAD", "origin/main") or git("rev-parse", "HEAD~1")
    return [
        *git("diff", "--name-only", *base[:1]),
        *git("ls-files", "--others", "--exclude-standard"),
    ]


if __name__ == "__main__":
    sys.stdout.write(
        "\n".join(mirrored_tests(changed_files(), git("ls-files", "-co", "--exclude-standard")))
    )
