from __future__ import annotations

import warnings

import pytest

from secureml.models.unpickling.allowlist import never, sklearn_names


@pytest.mark.slow
def test_the_shipped_list_is_what_discovery_finds_today():
    from secureml.models.unpickling.discover_names import discover

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = discover()

    assert sorted(found - sklearn_names()) == []
    assert sorted(sklearn_names() - found) == []
    assert not any(map(never, found))
