"""What the application measures of itself, and that one part that fails hides no other."""

from __future__ import annotations

import logging
import shutil

import pytest

from secureml.core import build_core
from secureml.core_metrics import measures
from secureml.model_loading import load_models
from secureml.state.store import StoreUnavailable

DAY = 86400.0


@pytest.fixture
def core(fresh_instance):
    """The demo model loaded, no web app around it."""
    made = build_core(fresh_instance)
    load_models(made)
    yield made
    made.store.close()


def named(found, name):
    return [(dict(measure.labels), measure.value) for measure in found if measure.name == name]


def test_models_are_told_by_version_and_how_long_they_took(core):
    found = measures(core, 0)
    assert named(found, "model_info") == [({"model": "breast-cancer", "version": "1"}, 1)]
    ((labels, seconds),) = named(found, "model_load_seconds")
    assert labels == {"model": "breast-cancer"}
    assert 0 < seconds < 60


def test_a_signing_key_grows_old_until_it_is_retired(core):
    first = core.signing.list()[0]
    now = first.created + 3 * DAY
    labels = {"kid": first.kid, "state": "active"}
    assert named(measures(core, now), "signing_key_age_seconds") == [(labels, 3 * DAY)]

    core.signing.rotate()
    ages = named(measures(core, now), "signing_key_age_seconds")
    assert [labels["state"] for labels, _ in ages] == ["retiring", "active"]
    core.signing.retire(first.kid)
    ages = named(measures(core, now), "signing_key_age_seconds")
    assert [labels["state"] for labels, _ in ages] == ["active"]


def test_a_secret_is_as_old_as_its_file(core):
    changed = (core.settings.instance / "keys" / "edge-token").stat().st_mtime
    ages = named(measures(core, changed + 90 * DAY), "secret_age_seconds")
    assert {(labels["table"], labels["key"]) for labels, _ in ages} == {
        ("plugins.transport", "edge_token"),
        ("plugins.audit_log", "key"),
        ("plugins.audit_log", "checkpoint_key"),
    }
    age = next(age for labels, age in ages if labels["key"] == "edge_token")
    assert age == pytest.approx(90 * DAY)


def test_room_is_told_for_each_folder_that_is_written(core):
    found = measures(core, 0)
    free, size = named(found, "disk_free_bytes"), named(found, "disk_size_bytes")
    assert [labels["folder"] for labels, _ in free] == ["logs", "run", "store"]
    assert all(0 < a <= b for (_, a), (_, b) in zip(free, size, strict=True))
    assert size[0][1] == shutil.disk_usage(core.settings.instance / "logs").total


def test_a_store_that_is_away_hides_only_what_it_holds(core, monkeypatch, caplog):
    def gone():
        raise StoreUnavailable("away")

    monkeypatch.setattr(core.signing, "list", gone)
    with caplog.at_level(logging.ERROR):
        found = measures(core, 0)
    assert {measure.name for measure in found} >= {"build_info", "model_info", "disk_free_bytes"}
    assert named(found, "signing_key_age_seconds") == []
    assert "signing keys cannot be measured" in caplog.text


def test_plugins_see_the_measures_of_the_application_and_of_one_another(core):
    names = {measure.name for measure in core.measures(0)}
    assert {"model_info", "certificate_not_after_timestamp_seconds", "api_keys_active"} <= names
