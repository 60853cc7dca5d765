"""The version is said in one place, and read from there."""

from __future__ import annotations

import re

from secureml.cli.version import version


def test_it_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", version())
