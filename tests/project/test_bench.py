"""`script/bench` is run by hand and seldom: what it calls must be there all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
BENCH = CHECKOUT / "tests" / "bench"
# The program that is measured beside ours reads its model as it is imported.
MODULES = sorted(path.stem for path in BENCH.glob("*.py") if path.stem != "bare")


@pytest.mark.parametrize("module", MODULES)
def test_each_measurement_finds_all_that_it_imports(module):
    """Types do not tell: what a package hands on lazily is anything to them."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        cwd=BENCH, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
