"""A registry over sealed versions, a store, and looks that the test takes itself."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import closing

import pytest
from sklearn.dummy import DummyRegressor

from secureml.models.serving.registry import Change, Registry
from secureml.models.serving.trials import Trials
from secureml.models.serving.updates import REPORT_SECONDS, Updates
from secureml.state.deployments import Deployments, TrialLimits
from secureml.state.serving_reports import ServingReports, place
from secureml.state.store import Store

ROWS = [[0.0], [1.0]]


class Site:
    """Two sealed versions, of which 1 is in use, and a worker that follows."""

    def __init__(self, store, models):
        self.models, self.time = models, 0.0
        self.registry = Registry(models)
        self.deployments = Deployments(store, lambda: self.time)
        self.reports = ServingReports(store, lambda: self.time)
        self.refused, self.stopped = [], []
        self.updates = Updates(
            self.registry,
            self.deployments,
            self.reports,
            Trials(self.deployments, self.reports, lambda: 0.0),
            refused=lambda name, error: self.refused.append((name, error.check)),
            stopped=self.stopped.append,
            now=lambda: self.time,
        )
        self.registry.load_all()

    @property
    def answer(self):
        model = self.registry.get("model")
        return model.version, model.predict(model.read([[0.0]])).predictions[0]


@pytest.fixture
def site(seal, tmp_path):
    for number in (1, 2):
        seal(DummyRegressor(strategy="constant", constant=float(number)).fit(ROWS, [0, 0]))
    with closing(Store(f"sqlite:///{tmp_path / 'secureml.db'}")) as store:
        found = Site(store, tmp_path / "models")
        yield found
        found.updates.stop()


def test_a_worker_follows_the_pointer_there_and_back(site):
    assert site.answer == ("1", 1.0)
    site.registry.use("model", "2")
    assert site.updates.look() == [Change("model", "2", "1")]
    assert site.answer == ("2", 2.0)
    site.registry.rollback("model")
    assert site.updates.look() == [Change("model", "1", "2")]
    assert site.answer == ("1", 1.0)


def test_a_second_change_at_the_same_moment_is_seen(site):
    """A clock of the file system moves every few milliseconds only."""
    folder = site.models / "model"
    site.registry.use("model", "2")
    moment = folder.stat().st_mtime_ns
    site.updates.look()
    site.registry.use("model", "1")
    os.utime(folder, ns=(moment, moment))

    assert site.updates.look() == [Change("model", "1", "2")]


def test_the_version_before_stays_loaded_and_is_not_proved_again(site, monkeypatch):
    first = site.registry.get("model")
    site.registry.use("model", "2")
    site.updates.look()
    assert site.registry.get("model", "1") is first
    site.registry.rollback("model")
    monkeypatch.setattr(site.registry, "prove", lambda *_: pytest.fail("it was loaded already"))
    site.updates.look()

    assert site.registry.get("model") is first


def test_while_nothing_changes_nothing_is_read(site, monkeypatch):
    site.updates.look()
    for name in ("refresh", "names_on_disk", "prove"):
        monkeypatch.setattr(site.registry, name, lambda *_: pytest.fail("it was read"))
    monkeypatch.setattr(site.deployments, "read", lambda: pytest.fail("it was read"))

    assert site.updates.look() == []


def test_a_version_that_cannot_be_proved_leaves_the_one_before_in_use(site):
    """As when a synced folder arrives in part: the pointer first, the file not yet."""
    (site.models / "model/2/model.data").write_bytes(b"not this")
    site.registry.point("model", "2", "1")
    assert site.updates.look() == []
    assert site.answer == ("1", 1.0)
    assert site.refused == [("model", "digest")]
    site.updates.look()
    assert len(site.refused) == 1  # told once


def test_what_was_refused_is_tried_again_when_its_folder_changes(site):
    good = (site.models / "model/2/model.data").read_bytes()
    (site.models / "model/2/model.data").write_bytes(b"not this")
    site.registry.point("model", "2", "1")
    site.updates.look()
    (site.models / "model/2/model.data").write_bytes(good)
    site.registry.point("model", "2", "1")  # written anew, which is what a second `use` does

    assert site.updates.look() == [Change("model", "2", "1")]
    assert site.answer == ("2", 2.0)


def test_golden_rows_that_are_answered_otherwise_leave_the_one_before_in_use(site):
    card = site.models / "model/2/card.json"
    card.write_bytes(card.read_bytes().replace(b'"predictions":[2.0', b'"predictions":[7.0'))
    site.registry.point("model", "2", "1")
    site.updates.look()

    assert site.refused == [("model", "golden")]
    assert site.answer == ("1", 1.0)


def test_a_new_model_answers_and_a_removed_one_does_not(site, seal):
    seal(DummyRegressor(strategy="constant", constant=5.0).fit(ROWS, [0, 0]), "late")
    assert site.updates.look() == [Change("late", "1", "")]
    assert site.registry.names() == ["late", "model"]
    site.registry.remove("late")
    site.updates.look()
    assert site.registry.names() == ["model"]


def test_a_folder_that_cannot_be_read_takes_nothing_away(site):
    site.models.rename(site.models.with_name("away"))
    with pytest.raises(OSError, match="models"):
        site.updates.look()
    assert site.answer == ("1", 1.0)


def test_a_number_that_is_given_again_is_another_version(site, seal):
    """Sealing that could not be recorded is undone, and its number is given to the next."""
    site.registry.use("model", "2")
    site.updates.look()
    shutil.rmtree(site.models / "model/2")
    (site.models / "model/last").unlink(missing_ok=True)
    seal(DummyRegressor(strategy="constant", constant=9.0).fit(ROWS, [0, 0]))
    site.updates.look()

    assert site.answer == ("2", 9.0)


def test_a_loaded_version_may_be_named_until_it_is_unloaded(site):
    assert site.registry.get("model", "2") is None
    site.deployments.set_loaded("model", "2", loaded=True)
    site.updates.look()
    assert site.registry.get("model", "2").version == "2"
    site.deployments.set_loaded("model", "2", loaded=False)
    site.updates.look()
    assert site.registry.get("model", "2") is None


def test_a_loaded_version_that_cannot_be_proved_keeps_nothing_else_away(site):
    (site.models / "model/2/model.data").write_bytes(b"not this")
    site.deployments.set_loaded("model", "2", loaded=True)
    site.updates.look()

    assert site.registry.get("model", "2") is None
    assert site.answer == ("1", 1.0)
    assert site.refused == []  # it is not the version in use


@pytest.mark.parametrize("canary", [True, False])
def test_a_trial_begins_and_ends(site, canary):
    trial = site.deployments.start_trial(
        "model", "2", canary=canary, share=1.0, limits=TrialLimits()
    )
    site.updates.look()
    candidate = site.registry.served("model").candidate
    assert (candidate.handle.version, candidate.canary) == ("2", canary)
    chosen = site.registry.choose("model", "", lambda: "client")
    assert chosen.version == ("2" if canary else "1")
    assert (site.registry.get("model", "2") is not None) == canary  # a shadow answers nobody
    site.deployments.stop_trial("model", trial.run, "enough")
    site.updates.look()
    assert site.registry.served("model").candidate is None
    assert site.registry.choose("model", "", lambda: "client").version == "1"


def test_the_version_in_use_is_no_candidate(site):
    site.deployments.start_trial("model", "1", canary=True, share=1.0, limits=TrialLimits())
    site.updates.look()

    assert site.registry.served("model").candidate is None


def test_a_trial_that_passes_a_limit_is_told_of(site):
    limits = TrialLimits(least=1, disagreement=0.0)
    site.deployments.start_trial("model", "2", canary=True, share=1.0, limits=limits)
    site.updates.look()
    served = site.registry.served("model")
    tried = served.candidate.handle
    rows = tried.read(ROWS)
    site.updates.trials.answered(served, tried, (rows, ROWS), tried.predict(rows), 1)
    site.updates.trials.settle()
    site.time += 2
    site.updates.look()

    assert [(each.model, each.trial.version) for each in site.stopped] == [("model", "2")]
    site.updates.look()
    assert site.registry.served("model").candidate is None


def test_a_worker_says_what_it_serves_and_that_it_has_left(site):
    site.updates.look()
    (report,) = site.reports.alive()
    assert (report.place, report.served) == (place(), {"model": "1"})
    site.registry.use("model", "2")
    site.updates.look()
    assert site.reports.alive()[0].served == {"model": "2"}
    site.updates.start()
    site.updates.stop()
    assert site.reports.alive() == []


def test_a_worker_that_has_nothing_new_to_say_says_now_and_then_that_it_lives(site):
    site.updates.look()
    site.time += REPORT_SECONDS - 0.1
    site.updates.look()
    (before,) = [row.seen for row in seen(site)]
    site.time += 0.2
    site.updates.look()
    (after,) = [row.seen for row in seen(site)]

    assert (before, after) == (0.0, site.time)


def seen(site):
    with site.reports._store.read() as connection:
        return connection.exec_driver_sql("SELECT seen FROM model_servers").all()


def test_the_thread_follows_by_itself(site):
    loaded = threading.Event()
    look = site.updates.look
    site.updates.look = lambda: loaded.set() if look() else None
    site.registry.use("model", "2")
    site.updates.start()

    assert loaded.wait(30)
    assert site.answer == ("2", 2.0)
