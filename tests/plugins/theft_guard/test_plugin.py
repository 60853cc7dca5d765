from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from marshmallow import ValidationError
from service import Service, _policy

from plugins.theft_guard.escalation import ACTIONS
from plugins.theft_guard.plugin import TheftGuard
from plugins.theft_guard.settings import Config
from secureml import ConfigError, Problem
from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from secureml.models.serving.registry import Registry
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.pipeline import Pipeline
from secureml.pipeline.problems import Catalogue
from secureml.pipeline.refusal_log import RecordingPolicy, Refusals
from tests.data_forms import convert_here

CHECKOUT = Path(__file__).resolve().parents[3]
EVERY = ["coarsen", "throttle", "hold"]


def provoke(service, rows, times=60, **words):
    """Ask until refused or done; wait out every throttle. Return what was seen."""
    seen = []
    for _ in range(times):
        try:
            labels, shares, events = service.ask(rows(), **words)
        except Problem as problem:
            seen += [event.name for event in service.events]
            seen.append(problem.code)
            service.harness.clock.advance(3600)
        else:
            seen.append("full" if shares is not None else "labels")
            seen += [event.name for event in events]
            assert labels
    return seen


def test_rows_like_no_real_one_are_flagged_and_nobody_outside_can_tell(serve, nonsense):
    service = serve(actions=[])
    seen = provoke(service, nonsense, 20)

    assert "model_theft_flag" in seen
    assert set(seen) == {"full", "model_theft_flag"}


def test_actions_follow_one_another_and_none_at_the_threshold_itself(serve, nonsense):
    seen = provoke(serve(actions=EVERY, delay=10), nonsense, 120)
    names = ["flag", "coarsen", "throttle", "hold"]
    places = [seen.index(f"model_theft_{name}") for name in names]

    assert places == sorted(places)
    assert all(later - sooner > 4 for sooner, later in pairwise(places))
    assert seen[places[1] - 1] == "labels"
    assert seen[-1] == "theft_guard.held"
    assert "theft_guard.throttled" in seen[places[2] : places[3]]


def test_the_batch_that_crosses_the_line_gets_no_fine_answers(serve, nonsense):
    """A request of as many rows as the delay is long has waited long enough."""
    service = serve(actions=["coarsen"])
    labels, shares, events = service.ask(nonsense(100))

    assert [event.name for event in events] == ["model_theft_flag", "model_theft_coarsen"]
    assert len(labels) == 100
    assert shares is None


@pytest.mark.parametrize(("last", "code"), [("throttle", "throttled"), ("hold", "held")])
def test_the_batch_that_comes_to_be_throttled_or_held_gets_no_answer(serve, nonsense, last, code):
    service = serve(actions=EVERY[: EVERY.index(last) + 1])
    with pytest.raises(Problem) as refused:
        service.ask(nonsense(100))

    assert refused.value.code == f"theft_guard.{code}"
    assert service.events[-1].name == f"model_theft_{last}"


def test_a_throttled_batch_may_be_asked_again_when_it_has_been_paid_for(serve, nonsense):
    service, rows = serve(actions=EVERY[:2], pause="5s"), nonsense(100)
    with pytest.raises(Problem) as refused:
        service.ask(rows)
    assert refused.value.headers["Retry-After"] == "501"
    service.harness.clock.advance(501)

    assert service.ask(rows)[1] is None


def test_a_batch_of_a_customer_gets_everything(serve, target):
    labels, shares, events = serve(actions=EVERY).ask(target.fresh[:150])
    assert (len(labels), len(shares), events) == (150, 150, [])


def test_who_only_observes_neither_withholds_the_batch_nor_coarsens_it(serve, nonsense, target):
    """Its steps are told all the same, and what it would have done is written down."""
    service = serve(actions=EVERY)
    pipeline = Pipeline(
        [LoadedPlugin(service.guard, observe=True)],
        Catalogue(TheftGuard.problems),
        refusals=Refusals(lambda event: None, lambda: 0.0, RecordingPolicy(20)),
    )
    exchange = service.prepare(nonsense(100))
    answer = target.handle.predict(exchange.read_rows())

    assert pipeline.shape(exchange, answer) is answer
    assert exchange.events[-1].name == "model_theft_hold"
    assert [seen.problem.code for seen in exchange.observed] == ["theft_guard.held"]
    again = service.prepare(nonsense(5))
    assert pipeline.shape(again, target.handle.predict(again.read_rows())).probabilities
    assert [event.name for event in again.events] == ["result_change_observed"]


def test_an_exempt_clients_batch_is_flagged_and_answered(serve, nonsense):
    _, shares, events = serve(actions=EVERY, exempt_clients=["mallory"]).ask(nonsense(100))
    assert [event.name for event in events] == ["model_theft_flag"]
    assert shares is not None


def test_it_comes_before_output_rules_in_the_list():
    assert "output_rules" in TheftGuard.runs_before


def test_the_alert_listens_to_what_is_noted_and_not_to_what_ends_well():
    rules = (CHECKOUT / "deploy" / "monitoring" / "secureml.rules.yml").read_text()
    listened = set(re.findall(r'event=~"(anomaly_detected[^"]+)"', rules))

    assert len(listened) == 1
    for level in ("flag", *ACTIONS):
        assert re.fullmatch(*listened, f"model_theft_{level}")
    for end in ("cleared", "lifted"):
        assert not re.fullmatch(*listened, f"model_theft_{end}")


def test_rounded_probabilities_are_what_coarsening_leaves_where_that_is_said(serve, nonsense):
    service = serve(actions=["coarsen"], coarsening="rounded", delay=2)
    for _ in range(40):
        _, shares, _ = service.ask(nonsense())

    assert np.array_equal(np.round(shares, 1), shares)


def test_a_customer_gets_everything(serve, target):
    service = serve(actions=EVERY)
    for row in target.fresh:
        _, shares, events = service.ask(row[None])
        assert shares is not None
        assert events == []


def test_the_same_row_a_thousand_times_is_no_attack(serve, target):
    service = serve(actions=EVERY)
    for _ in range(1000):
        assert service.ask(target.fresh[:1])[2] == []


def test_an_exempt_client_is_flagged_and_goes_on(serve, nonsense):
    seen = provoke(serve(actions=EVERY, exempt_clients=["mallory"], delay=2), nonsense, 60)

    assert set(seen) == {"full", "model_theft_flag"}


def test_a_held_client_is_let_in_by_the_command_and_judged_anew(serve, nonsense, target):
    service = serve(actions=EVERY, delay=2)
    assert provoke(service, nonsense, 90)[-1] == "theft_guard.held"
    service.harness.clock.advance(60)

    done = CliRunner().invoke(service.guard.commands(), ["lift", "mallory", "--json"])
    assert done.exit_code == 0, done.output
    assert service.harness.emitted[-1].name == "model_theft_lifted"
    assert service.ask(target.fresh[:1])[1] is not None
    assert "model_theft_flag" in provoke(service, nonsense, 20)


def test_a_hold_outlives_the_table(serve, nonsense, target):
    service = serve(actions=EVERY, delay=2)
    provoke(service, nonsense, 90)
    service.guard.close()
    for file in (service.folder / "store").iterdir():
        file.unlink()

    with pytest.raises(Problem) as refused:
        service.ask(target.fresh[:1])
    assert refused.value.code == "theft_guard.held"


def test_a_budget_is_spent_by_different_rows_alone_and_comes_back(serve, target):
    service = serve(budget=5, budget_window="1h")
    for window in range(3):
        mine = target.fresh[window * 5 : window * 5 + 5]
        for _ in range(3):
            service.ask(mine[:4])
        service.ask(mine)
        service.harness.clock.advance(1)
        with pytest.raises(Problem) as refused:
            service.ask(mine[:1])
        assert refused.value.code == "theft_guard.budget"
        assert 0 < int(refused.value.headers["Retry-After"]) <= 3600
        service.harness.clock.advance(3600)


def test_clients_who_share_the_work_are_flagged_as_one_block(serve, target, chance):
    service = serve(actions=[], threshold=12)
    subjects = set()
    for number in range(40):
        row = chance.uniform(target.low, target.high)[None]
        _, _, events = service.ask(row, f"client-{number % 20}", f"192.0.2.{number}")
        subjects |= {event.facts["subject"] for event in events}

    assert "block:192.0.2.0/24" in subjects
    assert "all:*" in subjects
    assert not any(each.startswith("client:") for each in subjects)


def test_a_block_is_never_shut_out(serve, nonsense, target):
    service = serve(actions=EVERY, delay=2)
    for number in range(150):
        try:
            service.ask(nonsense(), f"client-{number % 30}", "192.0.2.1")
        except Problem as problem:
            assert problem.code == "theft_guard.throttled"
            service.harness.clock.advance(3600)


def test_a_table_that_cannot_be_used_refuses_and_shows_in_readiness(serve, target):
    service = serve()
    (service.folder / "store").write_text("a file where the folder should be")

    assert service.guard.ready() == "theft_guard_file"
    with pytest.raises(Problem) as refused:
        service.ask(target.fresh[:1])
    assert refused.value.code == "unavailable"
    (service.folder / "store").unlink()
    assert service.guard.ready() is None


def test_a_model_sealed_without_a_table_keeps_its_budget_and_says_so(
    target, tmp_path, caplog, nonsense
):
    packaging.seal(
        packaging.Order(target.folder / "cancer-logistic.joblib", "bare"),
        packaging.SealTarget(
            tmp_path / "models",
            signature.generate_key(),
            lambda: 1_767_225_600.0,
            convert=convert_here,
        ),
    )
    handle = Registry(tmp_path / "models").prove("bare", "1")
    bare = type(target)("bare", handle, target.train, target.fresh, tmp_path)
    service = Service(bare, tmp_path / "service", budget=30)
    for _ in range(30):
        assert service.ask(nonsense())[2] == []

    assert "without a table" in caplog.text
    with pytest.raises(Problem) as refused:
        service.ask(nonsense())
    assert refused.value.code == "theft_guard.budget"
    service.close()


def test_a_client_without_a_body_is_no_ones_business(serve):
    service = serve()
    exchange = service.harness.exchange("GET", "/v1/models")
    service.guard.validate(exchange)
    assert service.guard.shape(exchange, "data") == "data"


def test_measures_count_who_stands_where(serve, nonsense):
    service = serve(actions=["coarsen"], delay=2)
    provoke(service, nonsense, 30)
    found = {m.labels["level"]: m.value for m in service.guard.measures()}

    assert found == {"flag": 0, "coarsen": 1}


def test_answers_out_of_order_stop_the_start(tmp_path, target):
    with pytest.raises((ConfigError, ValidationError)):
        Service(target, tmp_path / "s", actions=["hold", "coarsen"])
    with pytest.raises(ValidationError):
        Config().load({"actions": ["coarsen", "coarsen"]})


def test_a_caller_without_a_name_is_watched_as_anonymous(serve, target, nonsense):
    service = serve(actions=[])
    names = set()
    for _ in range(20):
        exchange = service.harness.exchange("POST")
        exchange.policy, exchange.model = _policy(), target.handle
        exchange.payload = {"instances": nonsense().tolist()}
        service.guard.validate(exchange)
        service.guard.shape(exchange, target.handle.predict(exchange.read_rows()))
        names |= {event.facts["subject"] for event in exchange.events}

    assert names == {"client:anonymous"}
