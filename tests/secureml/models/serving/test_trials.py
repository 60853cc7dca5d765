"""With real models, so that what is compared is what is served."""

from __future__ import annotations

from contextlib import closing

import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from secureml.models.serving.served_model import Candidate, ServedModel
from secureml.models.serving.trials import WAITING, Trials
from secureml.state.deployments import Deployments, TrialLimits
from secureml.state.serving_reports import ServingReports, place
from secureml.state.store import Store
from tests.model_handles import handle_of

ROWS = [[0.0], [1.0], [2.0], [3.0]]


def constant(number):
    return DummyRegressor(strategy="constant", constant=number).fit(ROWS, [0, 0, 0, 0])


class Site:
    """A trial of one version beside another, in a store, with a clock that tests turn."""

    def __init__(self, store, current, tried, *, canary, share=1.0, limits=None):
        self.deployments = Deployments(store, lambda: 0.0)
        self.reports = ServingReports(store, lambda: 0.0)
        self.chance, self.time = 0.0, iter(range(0, 10**9, 1000))
        self.trials = Trials(
            self.deployments, self.reports, lambda: self.chance, lambda: next(self.time)
        )
        self.trial = self.deployments.start_trial(
            "model", "2", canary=canary, share=share, limits=limits or TrialLimits(least=4)
        )
        candidate = Candidate(tried, canary, share, self.trial.run)
        self.current, self.tried = current, tried
        self.served = ServedModel(current, {"1": current}, candidate)

    def ask(self, model, instances=None, nanoseconds=1000):
        instances = ROWS if instances is None else instances
        rows = model.read(instances)
        result = model.predict(rows)
        self.trials.answered(self.served, model, (rows, instances), result, nanoseconds)
        self.trials.count(self.served, model, failed=False)
        self.trials.settle()

    def judge(self):
        return self.trials.judge(self.deployments.read())

    @property
    def sums(self):
        self.judge()
        return self.trials.compared(self.trial)


@pytest.fixture
def made(tmp_path):
    with closing(Store(f"sqlite:///{tmp_path / 'secureml.db'}")) as store:
        sites = []

        def make(current, tried, **words):
            sites.append(Site(store, current, tried, **words))
            return sites[-1]

        yield make
        for site in sites:
            site.trials.close()


def test_a_shadow_is_asked_what_the_version_in_use_was_asked(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=False)
    site.ask(site.current)
    sums = site.sums

    assert (sums.rows, sums.differing) == (4, 4)
    assert (sums.in_use.requests, sums.tried.requests, sums.tried.failed) == (1, 1, 0)
    assert (sums.in_use.mean_microseconds, sums.tried.mean_microseconds) == (1, 1)


def test_a_shadow_is_asked_of_a_share_of_the_requests(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(1.0)), canary=False, share=0.5)
    for chance in (0.0, 0.49, 0.5, 0.99):
        site.chance = chance
        site.ask(site.current)

    assert site.sums.rows == 8  # of two requests with four rows each


def test_of_the_answers_of_a_canary_the_version_in_use_is_asked_and_of_no_others(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=True)
    site.ask(site.current)
    assert site.sums.rows == 0
    site.ask(site.tried)
    sums = site.sums

    assert (sums.rows, sums.differing) == (4, 4)
    assert (sums.in_use.mean, sums.tried.mean) == (1.0, 2.0)
    assert (sums.in_use.requests, sums.tried.requests) == (1, 1)


def test_a_version_with_other_columns_reads_the_instances_for_itself(made):
    wide = DummyRegressor(strategy="constant", constant=1.0).fit([[0.0, 0.0]], [0])
    site = made(handle_of(constant(1.0)), handle_of(wide), canary=False)
    site.ask(site.current)
    sums = site.sums

    assert (sums.rows, sums.differing) == (4, 4)  # it can answer none of them
    assert sums.tried.failed == 1


def test_a_version_that_is_pinned_beside_both_is_no_part_of_a_trial(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=True)
    site.ask(handle_of(constant(3.0)))

    assert site.sums.to_json() == type(site.sums)().to_json()


def test_requests_that_failed_are_counted_for_the_version_that_had_them(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(1.0)), canary=True)
    for model, failed in ((site.current, False), (site.tried, True), (site.tried, False)):
        site.trials.count(site.served, model, failed=failed)
    sums = site.sums

    assert (sums.in_use.requests, sums.in_use.failed) == (1, 0)
    assert (sums.tried.requests, sums.tried.failed) == (2, 1)


def test_a_trial_that_does_badly_is_ended_once_and_says_why(made):
    limits = TrialLimits(least=4, disagreement=0.5)
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=True, limits=limits)
    site.ask(site.tried)
    (stopped,) = site.judge()

    assert (stopped.model, stopped.trial.version) == ("model", "2")
    assert "answers 100.0% of the rows otherwise" in stopped.why
    found = site.deployments.of("model").trial
    assert (found.runs, found.why) == (False, stopped.why)
    site.ask(site.tried)
    assert site.judge() == []


def test_a_trial_is_judged_by_what_all_workers_have_seen(made):
    """Each alone has seen too little."""
    limits = TrialLimits(least=10, disagreement=0.5)
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=True, limits=limits)
    site.ask(site.tried)
    assert site.judge() == []
    own = site.trials._sums[site.trial.run].to_json()
    site.reports.put_comparison(site.trial.run, "other:1", own)
    site.reports.put_comparison(site.trial.run, "other:2", own)
    site.ask(site.tried)

    assert len(site.judge()) == 1


def test_what_waits_is_bounded_and_what_is_left_out_is_counted(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=False)
    site.trials._start = lambda: None  # nobody takes anything away
    for _ in range(WAITING + 3):
        rows = site.current.read(ROWS)
        result = site.current.predict(rows)
        site.trials.answered(site.served, site.current, (rows, ROWS), result, 1000)

    assert site.sums.dropped == 3


def test_a_trial_that_is_over_is_forgotten(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=False)
    site.ask(site.current)
    site.judge()
    site.deployments.forget("model")
    site.judge()

    assert site.trials._sums == {}


def test_nothing_is_written_while_nothing_was_seen(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=False)
    site.judge()
    assert site.reports.comparisons(site.trial.run) == []
    site.ask(site.current)
    site.judge()
    site.reports.put_comparison(site.trial.run, place(), {"marked": 1})
    site.judge()

    assert site.reports.comparisons(site.trial.run) == [{"marked": 1}]


def test_labels_and_probabilities_are_compared(made):
    one, other = (
        handle_of(DummyClassifier(strategy="prior").fit(ROWS, answers))
        for answers in (["a", "a", "a", "b"], ["a", "a", "b", "b"])
    )
    site = made(one, other, canary=False)
    site.ask(site.current)

    assert site.sums.probability_difference == pytest.approx(4 * 0.25)


def test_a_model_that_would_end_the_thread_ends_one_comparison_alone(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=False)
    honest, site.tried.predict = site.tried.predict, interrupt
    site.ask(site.current)
    assert site.sums.rows == 0
    site.tried.predict = honest
    site.ask(site.current)
    assert site.sums.rows == 4


def interrupt(_):
    raise KeyboardInterrupt


def test_it_ends_with_questions_waiting(made):
    site = made(handle_of(constant(1.0)), handle_of(constant(2.0)), canary=False)
    for _ in range(WAITING):
        rows = site.current.read(ROWS)
        site.trials.answered(site.served, site.current, (rows, ROWS), site.current.predict(rows), 1)
    site.trials.close()

    assert not site.trials._thread.is_alive()
