"""An instance with two versions of a model that is called `number`, and the commands over it."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from secureml.state.store import Store
from tests.data_forms import seal_constants


@pytest.fixture
def versions(fresh_instance):
    seal_constants(fresh_instance, "number", 2)
    return fresh_instance


@pytest.fixture
def versions_store(versions):
    with closing(Store(f"sqlite:///{versions / 'secureml.db'}")) as found:
        yield found


@pytest.fixture
def ask_models(versions, type_command):
    """Return what types `secureml models ...`."""
    return lambda *words: type_command("models", *words, "--instance", versions)


@pytest.fixture
def run_models(ask_models):
    """Return what runs it, and returns the JSON it printed."""

    def run_it(*words):
        said = ask_models(*words, "--json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    return run_it
