"""What an answer is called, and how texts and numbers are kept in bounds."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from plugins.audit_log import codec, record
from secureml import Event


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (200, "request_answered"),
        (400, "input_validation_fail"),
        (401, "authn_login_fail"),
        (403, "authz_fail"),
        (404, "request_refused"),
        (422, "input_validation_fail"),
        (429, "excess_rate_limit_exceeded"),
        (500, "request_failed"),
        (503, "request_failed"),
    ],
)
def test_events_have_the_names_of_the_vocabulary(status: int, name: str) -> None:
    assert record.name_of(status) == name


def test_facts_are_json_whatever_they_are() -> None:
    facts = {"long": "x" * 999, "inf": float("inf"), "huge": 10**9000, "no": None, "yes": True}
    found = record.of_event(Event("a_b", "acme", facts))["facts"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (len(found["long"]), found["inf"], found["no"], found["yes"]) == (128, "inf", None, True)
    assert len(found["huge"]) == 128


def test_only_so_many_facts_are_kept() -> None:
    facts = {f"f{n}": n for n in range(1000)}
    assert len(record.of_event(Event("a_b", "", facts))["facts"]) == 32


def test_equal_rows_have_equal_digests_whatever_the_order_of_names() -> None:
    one, two = [{"a": 1.5, "b": None}], [{"b": None, "a": 1.5}]
    assert record.digest(b"k", one) == record.digest(b"k", two) != record.digest(b"k", [[1.5]])


def test_the_longest_record_fits_in_a_line() -> None:
    wide = "\N{GRINNING FACE}" * 5000
    facts = {f"{n}{wide}": wide for n in range(99)}
    refusal = SimpleNamespace(
        problem=SimpleNamespace(code=wide, reason=wide), phase=None, plugin=wide
    )
    exchange = SimpleNamespace(
        id="0" * 32, client_address=wide, foreign_id=wide, route=wide, status=403, row_count=9,
        principal=SimpleNamespace(client=wide, subject=wide + "x", credential=wide, method=wide),
        request=SimpleNamespace(method=wide), refusal=refusal, observed=[refusal] * 99,
        model=SimpleNamespace(name=wide, version=wide), payload={"instances": [[wide]]},
    )  # fmt: skip
    for fields in (
        record.of_exchange(exchange, b"k"),
        record.of_event(Event("a_b", wide, facts), exchange),
    ):
        assert len(codec.encode(fields)) < codec.LIMIT - 1000
