"""What was written and what was counted add up to what was refused, and both have an end."""

from __future__ import annotations

import os
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.rate_limit.rules import UNKNOWN_ADDRESS, address_key
from secureml import Event, Principal, Problem
from secureml.pipeline import refusal_counts
from secureml.pipeline.exchange import Exchange, Refusal
from secureml.pipeline.refusal_log import (
    COUNTED,
    EVENTS_COUNTED,
    RecordingPolicy,
    Refusals,
)
from secureml.settings_schema import RecordingTable
from secureml.testing import Clock


def person(client):
    """Return a caller."""
    return Principal(client, client, frozenset(), frozenset(), "", "api_keys", "k1")


def refused(*, address="192.0.2.1", client="", code="unauthorized", route="/v1/models", events=()):
    """Return an exchange that was refused."""
    found = Exchange("0" * 32, None, 0.0, 0, route=route, client_address=address)
    found.principal = person(client) if client else None
    found.refusal = Refusal(None, "", Problem(code))
    found.status = 401
    found.events = list(events)
    return found


class Book:
    """Keeps what a recorder would: what was written in full, and what was told."""

    def __init__(self, terms=None):
        self.clock = Clock(1000.0)
        self.full, self.events, self.emitted, self.away = [], [], [], False
        self.refusals = Refusals(self.on_event, self.clock, terms or RecordingPolicy(3, 60.0))

    def on_event(self, event):
        if self.away:
            raise OSError("no space left")
        self.emitted.append(event)

    def take(self, times=1, **words):
        for _ in range(times):
            exchange = refused(**words)
            self.refusals.weigh(exchange)
            if not exchange.counted:
                self.full.append(exchange)
            self.events += exchange.events_to_record

    def counted(self, name=COUNTED):
        return [event for event in self.emitted if event.name == name]

    def total(self, name=COUNTED):
        return sum(event.facts["count"] for event in self.counted(name))


@pytest.fixture
def book():
    return Book()


def test_the_first_are_written_one_by_one_and_the_others_as_a_number(book):
    book.take(10)
    assert len(book.full) == 3
    book.refusals.flush()
    (event,) = book.emitted
    assert (event.name, event.client) == (COUNTED, "")
    assert event.facts == {
        "subject": "address:192.0.2.1",
        "status": 401,
        "code": "unauthorized",
        "route": "/v1/models",
        "count": 7,
        "first": "1970-01-01T00:16:40.000Z",
        "last": "1970-01-01T00:16:40.000Z",
    }


def test_each_code_and_each_route_has_its_number(book):
    book.take(3)
    for code, route in (("unauthorized", "/a"), ("rate_limited", "/a"), ("rate_limited", "/b")):
        book.take(5, code=code, route=route)
    book.refusals.flush()
    found = {(e.facts["code"], e.facts["route"]): e.facts["count"] for e in book.emitted}
    assert found == dict.fromkeys(
        [("unauthorized", "/a"), ("rate_limited", "/a"), ("rate_limited", "/b")], 5
    )


def test_who_is_known_is_counted_by_name_wherever_it_comes_from(book):
    for number in range(20):
        book.take(client="acme", address=f"192.0.2.{number}")
    book.refusals.flush()
    (event,) = book.emitted
    assert (event.client, event.facts["subject"]) == ("acme", "client:acme")
    assert event.facts["count"] == 17


def test_a_subscriber_of_ipv6_is_one_subject(book):
    for number in range(20):
        book.take(address=f"2001:db8:0:1::{number:x}")
    book.refusals.flush()
    assert [event.facts["subject"] for event in book.emitted] == ["address:2001:db8:0:1::/64"]


def test_the_next_window_begins_anew(book):
    book.take(10)
    book.clock.advance(60)
    book.take(10)
    assert len(book.full) == 6
    book.refusals.flush()
    assert book.total() == 14


def test_a_window_without_anything_counted_tells_nothing(book):
    book.take(3)
    book.refusals.flush()
    book.refusals.flush()
    assert book.emitted == []


def test_the_moments_of_the_first_and_the_last_are_told(book):
    book.take(4)
    book.clock.advance(30)
    book.take(1)
    book.refusals.flush()
    facts = book.emitted[0].facts
    assert (facts["first"], facts["last"]) == (
        "1970-01-01T00:16:40.000Z",
        "1970-01-01T00:17:10.000Z",
    )


WHO = st.fixed_dictionaries(
    {
        "address": st.integers(0, 40).map(lambda n: f"192.0.2.{n}"),
        "client": st.sampled_from(["", "", "", "acme", "other"]),
        "code": st.sampled_from(["unauthorized", "rate_limited", "forbidden"]),
        "route": st.integers(0, 60).map(lambda n: f"/{n}"),
        "events": st.lists(
            st.builds(
                Event,
                st.sampled_from(["authn_login_fail", "excess_rate_limit_exceeded"]),
                st.just(""),
                st.fixed_dictionaries({"subject": st.integers(0, 40)}),
            ),
            max_size=2,
        ),
    }
)


@given(asked=st.lists(WHO, max_size=300), turns=st.sets(st.integers(0, 300), max_size=4))
def test_what_is_written_and_what_is_counted_add_up(asked, turns):
    """For requests, and for what happened in them; whatever falls away into a shared number."""
    book = Book(RecordingPolicy(2, 1e9))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SUBJECTS", "KINDS", "FULL", "NEWS", "NUMBERS"):
            patch.setattr(refusal_counts, name, 5)
        for number, words in enumerate(asked):
            book.take(**words)
            if number in turns:
                book.refusals.flush()
        book.refusals.flush()
    assert len(book.full) + book.total() == len(asked)
    codes = Counter(words["code"] for words in asked)
    written = Counter(exchange.problem.code for exchange in book.full)
    for event in book.counted():
        written[event.facts["code"]] += event.facts["count"]
    vague = written.pop("", 0)
    assert all(codes[code] >= written[code] for code in codes)
    assert sum(codes.values()) - sum(written.values()) == vague
    assert len(book.events) + book.total(EVENTS_COUNTED) == sum(len(w["events"]) for w in asked)


def numbers_of(book):
    return sum(1 for pool in book.refusals._pools.values() for _ in pool.numbers())


def test_strangers_without_end_fill_neither_memory_nor_log():
    """A botnet: more addresses than are known by name, more routes than have a number."""
    book = Book(RecordingPolicy(20, 60.0))
    for number in range(30_000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        book.take(3, address=address, code=f"code_{number % 50}", route=f"/{number % 90}")
    (pool,) = [pool for pool in book.refusals._pools.values() if pool._accounts]
    assert len(pool._accounts) == refusal_counts.SUBJECTS
    assert len(book.full) == refusal_counts.FULL
    book.refusals.flush()
    assert len(book.emitted) <= refusal_counts.NUMBERS + 1
    assert len(book.full) + book.total() == 90_000
    others = [event for event in book.emitted if event.facts["subject"] == "address:*"]
    assert sum(event.facts["count"] for event in others) > 80_000


def test_one_subject_without_end_has_its_share_and_no_more():
    book = Book(RecordingPolicy(20, 60.0))
    for number in range(20_000):
        events = [Event("authn_login_fail", "", {"by": f"{number}"})]
        book.take(code=f"code_{number}", route=f"/{number}", events=events)
    assert len(book.full) == 20
    assert len(book.events) <= 20 + refusal_counts.KINDS
    assert numbers_of(book) < 100
    book.refusals.flush()
    assert len(book.emitted) < 100
    assert book.total() == 20_000 - 20
    assert book.total(EVENTS_COUNTED) + len(book.events) == 20_000


def test_a_flood_from_outside_hides_nothing_that_a_client_does():
    book = Book(RecordingPolicy(20, 60.0))
    for number in range(20_000):
        book.take(address=f"10.0.{number >> 8}.{number & 255}", code=f"code_{number % 700}")
    book.full.clear()
    book.take(25, client="insider", code="forbidden")
    assert len(book.full) == 20
    book.refusals.flush()
    assert [e.facts["count"] for e in book.emitted if e.client == "insider"] == [5]


def test_what_is_new_in_a_counted_refusal_is_written_all_the_same(book):
    """A stolen token that comes back must not go down in the noise around it."""
    noise = Event("excess_rate_limit_exceeded", "", {"subject": "address:192.0.2.1", "limit": "x"})
    book.take(50, events=[noise])
    assert book.events == [noise] * 3
    reuse = Event("authn_token_reuse", "acme", {"family": "f1"})
    book.take(2, events=[noise, reuse])
    assert book.events == [noise] * 3 + [reuse]
    book.refusals.flush()
    found = {e.facts["event"]: (e.client, e.facts["told"], e.facts["count"])
             for e in book.counted(EVENTS_COUNTED)}  # fmt: skip
    assert found == {
        "excess_rate_limit_exceeded": ("", "limit=x, subject=address:192.0.2.1", 49),
        "authn_token_reuse": ("acme", "family=f1", 1),
    }


def test_what_cannot_be_told_is_told_later_and_nothing_is_lost(book):
    book.take(10)
    book.take(10, code="rate_limited")
    book.away = True
    book.refusals.flush()
    book.refusals.flush()
    assert book.emitted == []
    book.take(10)
    book.away = False
    book.refusals.flush()
    assert book.total() + len(book.full) == 30


def test_a_log_that_is_away_for_long_fills_no_memory():
    book = Book(RecordingPolicy(1, 60.0))
    book.away = True
    for number in range(5_000):
        book.take(2, address=f"10.0.{number >> 8}.{number & 255}", route=f"/{number % 300}")
        if number % 100 == 0:
            book.refusals.flush()
    assert numbers_of(book) <= refusal_counts.NUMBERS + 2
    book.away = False
    book.refusals.flush()
    assert book.total() + len(book.full) == 10_000


def test_a_worker_tells_its_numbers_without_being_asked_again():
    """Nobody comes after the flood, and its number is written all the same."""
    emitted = threading.Event()
    clock = Clock()
    ward = Refusals(lambda event: emitted.set(), clock, RecordingPolicy(1, 0.01))
    ward.start()
    for _ in range(3):
        ward.weigh(refused())
    assert emitted.wait(30)
    ward.stop()


def test_a_worker_that_ends_tells_what_it_has(book):
    book.refusals.start()
    book.take(10)
    book.refusals.stop()
    assert book.total() == 7


def test_a_worker_that_ends_and_cannot_tell_says_how_many_are_lost(book, caplog):
    book.take(10)
    book.away = True
    book.refusals.stop()
    assert "7 refusals and events of refusals were counted and not written down" in caplog.text


def test_a_fork_tells_nothing_of_its_parents(book):
    book.take(10)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        book.take(5)
        book.refusals.stop()
        os.write(writer, f"{book.total()}".encode())
        os._exit(0)
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "2"
    book.refusals.flush()
    assert book.total() == 7


def test_many_threads_lose_none():
    book = Book(RecordingPolicy(5, 1e9))
    full = []

    def flood():
        for _ in range(500):
            exchange = refused()
            book.refusals.weigh(exchange)
            if not exchange.counted:
                full.append(exchange)
            if len(full) % 3 == 0:
                book.refusals.flush()

    threads = [threading.Thread(target=flood) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.refusals.flush()
    assert len(full) + book.total() == 3000


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0", "", "unix:", "1.2.3.4.5"],
)
def test_an_address_is_counted_here_as_the_limiter_counts_it(address):
    book = Book(RecordingPolicy(1, 60.0))
    book.take(2, address=address)
    book.refusals.flush()
    (number,) = book.counted()
    assert number.facts["subject"] == f"address:{address_key(address)}"
    assert address_key("") == UNKNOWN_ADDRESS


def test_the_defaults_of_the_table_are_those_of_the_code():
    assert RecordingPolicy(**RecordingTable().load({})) == RecordingPolicy()
