"""A version that does not answer is not there, whatever else does."""

from __future__ import annotations

from types import SimpleNamespace

from plugins.open_inference.versions import find


def test_a_model_answers_in_its_current_version_alone():
    model = SimpleNamespace(version="2")
    models = SimpleNamespace(get={"iris": model}.get)
    assert find(models, "iris") is find(models, "iris", "2") is model
    for name, version in (("iris", "1"), ("iris", "3"), ("iris", "02"), ("other", ""), ("x", "2")):
        assert find(models, name, version) is None
