"""The plugin is routes and nothing else: no phase, no setting, nothing kept."""

from __future__ import annotations

from plugins.open_inference.plugin import OpenInference
from secureml.pipeline.plugin import phases_of
from secureml.testing import Harness


def test_it_runs_in_no_phase_and_has_no_setting(tmp_path):
    harness = Harness(tmp_path)
    plugin = harness.build(OpenInference)
    assert phases_of(plugin) == ()
    assert plugin.schema().fields == {}
    harness.store.close()


def test_without_it_there_is_no_route_of_the_protocol(harness):
    plain = {rule.rule for rule in harness.app([]).url_map.iter_rules()}
    named = {rule.rule for rule in harness.app([harness.load(OpenInference)]).url_map.iter_rules()}
    assert not any(rule.startswith("/v2") for rule in plain)
    assert named - plain == {
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        *(
            f"/v2/models/<model>{version}{rest}"
            for version in ("", "/versions/<version>")
            for rest in ("", "/ready", "/infer")
        ),
    }
