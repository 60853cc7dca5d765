"""`script/test --quick` runs the tests of what was changed, and forgets none that mirrors it."""

from __future__ import annotations

import pytest

from tests.changed import mirrored_tests

THERE = [
    "secureml/kit/dpop.py",
    "tests/secureml/kit/test_dpop.py",
    "tests/secureml/kit/test_dpop_vectors.py",
    "tests/secureml/kit/test_bearer.py",
    "tests/plugins/jwt/conftest.py",
    "tests/plugins/jwt/test_plugin.py",
    "tests/plugins/jwt/test_views.py",
    "tests/live/test_reload.py",
    "docs/plugins.md",
]


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("secureml/kit/dpop.py", ["tests/secureml/kit/test_dpop.py",
                                  "tests/secureml/kit/test_dpop_vectors.py"]),
        ("tests/secureml/kit/test_bearer.py", ["tests/secureml/kit/test_bearer.py"]),
        ("plugins/jwt/plugin.py", ["tests/plugins/jwt/test_plugin.py"]),
        ("plugins/jwt/__init__.py", ["tests/plugins/jwt/test_plugin.py",
                                     "tests/plugins/jwt/test_views.py"]),
        ("tests/plugins/jwt/conftest.py", ["tests/plugins/jwt/test_plugin.py",
                                           "tests/plugins/jwt/test_views.py"]),
        ("tests/live/test_reload.py", []),
        ("docs/plugins.md", []),
        ("secureml/kit/gone.py", ["tests/secureml/kit/test_bearer.py",
                                  "tests/secureml/kit/test_dpop.py",
                                  "tests/secureml/kit/test_dpop_vectors.py"]),
        ("tests/secureml/kit/test_gone.py", []),
    ],
)  # fmt: skip
def test_a_changed_file_has_the_tests_that_mirror_it(changed, tests):
    assert mirrored_tests([changed], THERE) == sorted(["tests/project", *tests])
