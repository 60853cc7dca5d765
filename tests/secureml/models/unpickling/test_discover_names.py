from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from secureml.models.unpickling.allowlist import never, sklearn_names

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.slow
def test_the_shipped_list_is_what_discovery_finds_today():
    # In a process of its own: a library that another test has imported changes scikit-learn.
    module = "secureml.models.unpickling.discover_names"
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = frozenset(done.stdout.split())

    assert sorted(found - sklearn_names()) == []
    assert sorted(sklearn_names() - found) == []
    assert not any(map(never, found))
