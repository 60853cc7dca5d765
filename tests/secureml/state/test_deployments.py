from __future__ import annotations

from contextlib import closing

import pytest

from secureml.state.deployments import NOTHING, Deployments, Retirement, TrialLimits
from secureml.state.store import Store

LIMITS = TrialLimits(least=10, error_rate=0.1, latency=None, disagreement=0.2)


@pytest.fixture
def deployments(tmp_path):
    with closing(Store(f"sqlite:///{tmp_path / 'secureml.db'}")) as store:
        yield Deployments(store, lambda: 100.0)


def test_of_what_nothing_was_said_there_is_nothing(deployments):
    assert deployments.read() == {}
    assert deployments.of("model") is NOTHING


def test_a_version_is_loaded_and_unloaded_and_keeps_its_retirement(deployments):
    deployments.set_loaded("model", "1", loaded=True)
    deployments.retire("model", "1", Retirement(1.0, 2.0, "https://example.org"))
    assert deployments.of("model").loaded == {"1"}
    deployments.set_loaded("model", "1", loaded=False)

    found = deployments.of("model")
    assert found.loaded == frozenset()
    assert found.retirements == {"1": Retirement(1.0, 2.0, "https://example.org")}


def test_a_retirement_is_taken_back(deployments):
    deployments.retire("model", "1", Retirement(1.0, None))
    deployments.retire("model", "1", Retirement(None, None))

    assert deployments.of("model") == NOTHING


def test_a_trial_is_what_was_ordered_and_another_takes_its_place(deployments):
    first = deployments.start_trial("model", "2", canary=True, share=0.25, limits=LIMITS)
    assert deployments.of("model").trial == first
    assert (first.started, first.runs, first.limits) == (100.0, True, LIMITS)
    second = deployments.start_trial("model", "3", canary=False, share=1.0, limits=LIMITS)

    assert deployments.of("model").trial == second
    assert first.run != second.run


def test_a_trial_is_stopped_once_and_only_by_its_own_name(deployments):
    trial = deployments.start_trial("model", "2", canary=True, share=0.5, limits=LIMITS)
    assert not deployments.stop_trial("model", "another", "no")
    assert deployments.stop_trial("model", trial.run, "why" * 1000)
    assert not deployments.stop_trial("model", trial.run, "again")

    found = deployments.of("model").trial
    assert (found.runs, found.stopped) == (False, 100.0)
    assert found.why == ("why" * 1000)[:500]


def test_what_was_said_of_a_removed_version_is_forgotten_and_nothing_else(deployments):
    for version in ("1", "2"):
        deployments.set_loaded("model", version, loaded=True)
    deployments.set_loaded("other", "1", loaded=True)
    deployments.start_trial("model", "2", canary=True, share=0.5, limits=LIMITS)
    deployments.forget("model", "2")

    assert deployments.of("model").loaded == {"1"}
    assert deployments.of("model").trial is None
    deployments.forget("model")
    assert set(deployments.read()) == {"other"}


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.set_loaded("model", "1", loaded=True),
        lambda found: found.retire("model", "1", Retirement(1.0, None)),
        lambda found: found.start_trial("m", "1", canary=True, share=1.0, limits=LIMITS),
        lambda found: found.forget("model"),
    ],
)
def test_every_change_is_counted_for_all_workers(deployments, change):
    before = deployments.counter()
    change(deployments)

    assert deployments.counter() == before + 1


def test_a_trial_that_had_ended_changes_nothing_for_the_workers(deployments):
    before = deployments.counter()
    deployments.stop_trial("model", "absent", "why")

    assert deployments.counter() == before
