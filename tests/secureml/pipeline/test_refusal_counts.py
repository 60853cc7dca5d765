"""Numbers with an end: exact while there is room, shared when there is none, never wrong."""

from __future__ import annotations

from collections import Counter

from secureml.pipeline import refusal_counts
from secureml.pipeline.refusal_counts import Noted, Number, Pool, Refused


def test_a_subject_has_its_number_for_each_kind_until_it_has_too_many():
    pool = Pool("address", 1)
    account = pool.account("address:192.0.2.1")
    for route in range(200):
        pool.count(account, Refused(401, "unauthorized", f"/{route}"), Number(1, 0.0, 0.0))
    found = {what: number.count for _, what, number in pool.numbers()}
    assert len(found) <= 2 * refusal_counts.KINDS + 1
    assert sum(found.values()) == 200
    assert found[Refused(401, "unauthorized", "/0")] == 1
    assert found[Refused(401, "unauthorized", "")] > 100, "its code is still known"


def test_subjects_beyond_the_most_share_one_account():
    pool = Pool("client", 1)
    names = Counter(
        pool.account(f"client:{number}").subject for number in range(refusal_counts.SUBJECTS + 50)
    )
    assert names["client:*"] == 50
    assert len(names) == refusal_counts.SUBJECTS + 1


def test_requests_and_events_are_never_added_to_one_number():
    """Where nothing has room, each sort has its last place."""
    pool = Pool("address", 1)
    for number in range(3 * refusal_counts.NUMBERS):
        account = pool.account(f"address:{number}")
        pool.count(account, Refused(400 + number % 99, f"c{number}", ""), Number(1, 0.0, 0.0))
        pool.count(account, Noted(f"event_{number}"), Number(2, 0.0, 0.0))
    sums = Counter()
    for _, what, number in pool.numbers():
        sums[type(what)] += number.count
    assert sums == {Refused: 3 * refusal_counts.NUMBERS, Noted: 6 * refusal_counts.NUMBERS}
    assert sum(1 for _ in pool.numbers()) <= refusal_counts.NUMBERS + 2


def test_a_number_knows_its_first_and_last_moment_in_any_order():
    pool = Pool("address", 1)
    account = pool.account("address:192.0.2.1")
    for moment in (5.0, 2.0, 9.0):
        pool.count(account, Refused(401), Number(1, moment, moment))
    ((_, _, number),) = pool.numbers()
    assert (number.count, number.first, number.last) == (3, 2.0, 9.0)


def test_more_in_full_for_one_is_more_for_all():
    """Who wants every record has it."""
    pool = Pool("address", 10_000)
    account = pool.account("address:192.0.2.1")
    assert sum(pool.takes(account) for _ in range(20_000)) == 10_000
