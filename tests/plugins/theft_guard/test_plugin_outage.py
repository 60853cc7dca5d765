"""What the plugin does when store or table are away, after a restart, and at odd times."""

from __future__ import annotations

import numpy as np
import pytest
from service import Service

from secureml import Problem, StoreUnavailable
from tests.instance_copies import copy_instance

EVERY = ["coarsen", "throttle", "hold"]


def away(*_, **__):
    raise StoreUnavailable


def test_a_store_that_is_away_lets_nobody_in_and_the_model_is_not_asked(serve, target, monkeypatch):
    service = serve()
    monkeypatch.setattr(service.harness.store, "versions", away)
    with pytest.raises(Problem) as refused:
        service.guard.validate(service.prepare(target.fresh[:1]))
    assert (refused.value.code, refused.value.reason) == ("unavailable", "theft_guard.store")


def test_a_store_that_is_back_lets_everybody_in_again(serve, target, monkeypatch):
    service = serve()
    with monkeypatch.context() as broken:
        broken.setattr(service.harness.store, "versions", away)
        with pytest.raises(Problem):
            service.ask(target.fresh[:1])
    assert service.ask(target.fresh[:1])[1] is not None


def test_a_level_that_cannot_be_stored_withholds_the_answer(serve, nonsense, monkeypatch):
    """The core turns it into a 500: an answer whose enforcement is lost must not leave."""
    service = serve(actions=EVERY)
    monkeypatch.setattr(service.guard._enforcements, "save", away)
    with pytest.raises(StoreUnavailable):
        service.ask(nonsense(100))


def test_a_client_that_is_only_watched_needs_no_writing_to_the_store(serve, target, monkeypatch):
    service = serve()
    monkeypatch.setattr(service.harness.store, "begin", away)
    assert service.ask(target.fresh[:50])[1] is not None


def test_a_pause_ends_with_a_clock_that_was_set_back(serve, nonsense, target):
    service = serve(actions=EVERY[:2], pause="1h")
    with pytest.raises(Problem):
        service.ask(nonsense(100))
    with pytest.raises(Problem) as refused:
        service.ask(target.fresh[:1])
    assert refused.value.code == "theft_guard.throttled"
    service.harness.clock.advance(-365 * 86_400)
    assert service.ask(target.fresh[:1])[0]


def test_a_pause_is_over_to_the_second(serve, nonsense, target):
    service = serve(actions=EVERY[:2], pause="5s")
    with pytest.raises(Problem) as refused:
        service.ask(nonsense(100))
    assert refused.value.headers["Retry-After"] == "501"
    service.harness.clock.advance(499.5)
    with pytest.raises(Problem) as refused:
        service.ask(target.fresh[:1])
    assert refused.value.headers["Retry-After"] == "1"
    service.harness.clock.advance(0.5)
    assert service.ask(target.fresh[:1])[0]


def test_a_budget_is_spent_by_its_last_row_and_known_rows_are_refused_then_too(serve, target):
    service = serve(budget=5)
    service.ask(target.fresh[:4])
    service.ask(target.fresh[4:5])
    with pytest.raises(Problem) as refused:
        service.ask(target.fresh[:1])
    assert refused.value.code == "theft_guard.budget"
    assert service.ask(target.fresh[:1], "bob")[0], "another client has its own"


def test_what_was_known_before_a_restart_is_known_after_it(serve, nonsense, target, tmp_path):
    first = serve(actions=["coarsen"], delay=2)
    for _ in range(12):
        first.ask(nonsense())
    first.guard.close()
    folder = tmp_path / "copy"
    copy_instance(first.folder, folder)
    second = Service(target, folder, actions=["coarsen"], delay=2)
    assert second.ask(target.fresh[:1])[1] is None, "still coarse"
    assert [m.value for m in second.guard.measures()] == [0, 1]
    second.close()


def test_another_size_of_the_table_begins_without_evidence_and_keeps_holds(
    serve, nonsense, target, tmp_path
):
    first = serve(actions=EVERY, delay=2)
    with pytest.raises(Problem):
        first.ask(nonsense(100))
    first.guard.close()
    folder = tmp_path / "copy"
    copy_instance(first.folder, folder)
    second = Service(target, folder, actions=EVERY, delay=2, max_clients=16)
    with pytest.raises(Problem) as refused:
        second.ask(target.fresh[:1])
    assert refused.value.code == "theft_guard.held"
    assert second.ask(target.fresh[:1], "alice")[1] is not None
    second.close()


def test_no_event_tells_a_row_or_what_it_was_compared_with(serve, nonsense):
    service = serve(actions=EVERY)
    with pytest.raises(Problem):
        service.ask(nonsense(100))
    for event in service.events:
        assert set(event.facts) == {"subject", "model", "score", "rows", "reasons"}
        assert event.facts["rows"] == 100


def test_a_refusal_says_nothing_of_score_detector_or_threshold(serve, nonsense):
    service = serve(actions=EVERY)
    with pytest.raises(Problem) as refused:
        service.ask(nonsense(100))
    said = f"{vars(refused.value)}"
    assert not any(word in said for word in ("score", "mahalanobis", "threshold", "nearest"))


def test_a_client_with_a_short_stay_at_an_address_is_judged_with_that_block(serve, nonsense):
    """Its own evidence goes along; that of the block is made by two."""
    service = serve(actions=[])
    subjects = set()
    for number in range(16):
        _, _, events = service.ask(nonsense(), f"c{number % 2}", f"2001:db8:1:{number}::1")
        subjects |= {event.facts["subject"] for event in events}
    assert "block:2001:db8:1::/48" in subjects


def test_an_answer_without_probabilities_is_judged_by_its_rows(serve, target, nonsense):
    service = serve(actions=["coarsen"], delay=2)
    names = []
    for _ in range(20):
        exchange = service.prepare(nonsense())
        answer = target.handle.predict(exchange.read_rows())
        bare = type(answer)(**{**{f: getattr(answer, f) for f in answer.__dataclass_fields__},
                               "probabilities": None})  # fmt: skip
        assert service.guard.shape(exchange, bare).probabilities is None
        names += [event.name for event in exchange.events]
    assert names[:2] == ["model_theft_flag", "model_theft_coarsen"]


def test_a_payload_of_something_else_than_rows_is_left_alone(serve, target):
    service = serve()
    exchange = service.prepare(target.fresh[:1])
    exchange.payload = {"other": []}
    assert service.guard.shape(exchange, "answer") == "answer"
    exchange.model = None
    service.guard.validate(exchange)


def test_a_throttle_that_is_over_before_the_answer_leaves_refuses_nobody(serve, nonsense):
    """The record was given away to somebody else meanwhile: there is nothing to wait for."""
    service = serve(actions=EVERY[:2])
    found = service.guard._table
    original = found.find
    service.guard._table.find = lambda *words: None
    try:
        _, shares, events = service.ask(nonsense(100))
    finally:
        found.find = original
    assert shares is None
    assert [event.name for event in events][-1] == "model_theft_throttle"


def test_a_lift_of_a_client_without_a_record_lets_it_in(serve, nonsense, target):
    service = serve(actions=EVERY)
    with pytest.raises(Problem):
        service.ask(nonsense(100))
    service.guard.close()
    for file in (service.folder / "store").iterdir():
        file.unlink()
    service.harness.clock.advance(1)
    service.guard._enforcements.lift("mallory", None)
    assert service.ask(target.fresh[:1])[1] is not None


def test_rows_beyond_all_bounds_are_answered_or_refused_and_flagged(serve, target):
    """The logistic model answers them; nothing here may fail over them."""
    service = serve(actions=[])
    seen = set()
    for number in range(30):
        rows = np.full((1, 30), 10.0 ** (10 * number))
        exchange = service.prepare(rows)
        answer = target.handle.predict(target.fresh[:1])
        service.guard.shape(exchange, answer)
        seen |= {event.name for event in exchange.events}
    assert seen == {"model_theft_flag"}
