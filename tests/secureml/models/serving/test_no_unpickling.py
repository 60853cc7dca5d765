"""A process that serves cannot be made to read a pickle. Each test has a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

READ = {
    "pickle in C": "pickle.loads(data)",
    "pickle in Python": "pickle._loads(data)",
    "an unpickler": "pickle.Unpickler(io.BytesIO(data)).load()",
    "joblib": "joblib.load(io.BytesIO(data))",
    "numpy": "numpy.load(io.BytesIO(packed), allow_pickle=True)",
}
PROGRAM = """
import io, os, pickle, sys
import joblib, numpy
from secureml.models.serving.no_unpickling import UnpicklingRefused, refuse_unpickling

class Weapon:
    def __reduce__(self):
        return os.system, ("echo it ran",)

data = pickle.dumps(Weapon())
file = io.BytesIO()
numpy.save(file, numpy.array([Weapon()], dtype=object), allow_pickle=True)
packed = file.getvalue()
if "refused" in sys.argv:
    refuse_unpickling()
try:
    {read}
except UnpicklingRefused as refused:
    print(refused)
"""


def said(read: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{read}", read), *words],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("way", READ)
def test_attack_a_pickle_is_refused_before_any_of_it_runs(way):
    found = said(READ[way], "refused")

    assert "does not read pickles, and one asked for '" in found
    assert "it ran" not in found


@pytest.mark.parametrize("way", READ)
def test_the_weapon_is_loaded(way):
    assert said(READ[way]) == "it ran\n"
