from __future__ import annotations

import importlib
import warnings

import pytest

from secureml.models.unpickling.allowlist import library_names, never, sklearn_names
from tests.optional_packages import need


@pytest.mark.slow
def test_the_shipped_list_of_libraries_is_what_discovery_finds_today():
    need("imblearn", "catboost", "lightgbm", "xgboost")
    from secureml.models.unpickling.discover_libraries import discover

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = discover()

    assert sorted(found) == sorted(library_names())
    assert not any(map(never, found))
    assert not found & sklearn_names()


def test_every_name_stands_for_something_where_its_library_is_installed():
    need("imblearn", "catboost", "lightgbm", "xgboost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in library_names():
            module, _, attribute = name.rpartition(".")
            assert isinstance(getattr(importlib.import_module(module), attribute), type)
