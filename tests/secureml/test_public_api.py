"""The plugin author's vocabulary: complete, true to its names, and quick to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import secureml

ROOT = Path(__file__).parents[2]
HEAVY = {"sklearn", "numpy", "scipy", "joblib", "gunicorn"}


@pytest.mark.parametrize("name", secureml.__all__)
def test_every_name_is_there(name):
    assert getattr(secureml, name) is not None


def test_every_lazy_name_is_in_the_vocabulary_and_is_what_it_says():
    assert set(secureml._LAZY) <= set(secureml.__all__)
    for name in secureml._LAZY:
        found = getattr(secureml, name)
        assert found.__name__.rpartition(".")[2] == name


def test_any_other_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'create_app'"):
        _ = secureml.create_app
    assert not hasattr(secureml, "Ledger")


def test_the_vocabulary_is_in_order_and_says_nothing_twice():
    assert sorted(set(secureml.__all__)) == sorted(secureml.__all__)


@pytest.mark.parametrize("module", ["secureml", "secureml.cli.main", "secureml.cli.clients"])
def test_a_command_that_touches_no_model_does_not_wait_for_scikit_learn(module):
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())
