"""One request as the phases see it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from flask import Request

from secureml import Principal, Problem
from secureml.pipeline.exchange import InputWarning, Refusal
from secureml.pipeline.principal import EXPLAIN_METHOD
from secureml.testing import Harness


@pytest.fixture
def exchange(tmp_path):
    """A request on its way."""
    return Harness(tmp_path).exchange("POST", "/v1/models/m/predict")


def test_the_peer_is_settled_once(exchange):
    """A second plugin that tries is a fault of ours, and fails the request."""
    exchange.set_peer(address="192.0.2.1", scheme="https", host="h")

    with pytest.raises(RuntimeError, match="once"):
        exchange.set_peer(address="198.51.100.1", scheme="https", host="h")
    assert exchange.client_address == "192.0.2.1"


def test_rows_are_read_once(exchange):
    """However many plugins ask."""

    class Model:
        calls = 0

        def read(self, instances):
            self.calls += 1
            return np.array(instances)

    exchange.model, exchange.payload = Model(), {"instances": [[1.0], [2.0]]}

    assert exchange.read_rows() is exchange.read_rows()
    assert (exchange.model.calls, exchange.row_count) == (1, 2)


def test_there_are_no_rows_without_a_model(exchange):
    """A plugin that asks at the wrong route learns of it."""
    with pytest.raises(RuntimeError, match="before a model"):
        exchange.read_rows()


@pytest.mark.parametrize(
    ("method", "explained"), [(EXPLAIN_METHOD, True), ("api_keys", False), ("", False)]
)
def test_a_principal_says_whether_a_command_made_it(method, explained):
    """No plugin's name has a space, so no request is identified by that method."""
    principal = Principal("c", "c", frozenset(), frozenset(), "t", method, "k")

    assert principal.explained is explained


@pytest.mark.parametrize(
    ("granted", "may"), [({"m"}, True), ({"*"}, True), ({"n"}, False), (set(), False)]
)
def test_a_principal_uses_the_models_it_was_granted(granted, may):
    """None by default, all by a star."""
    principal = Principal("c", "c", frozenset(), frozenset(granted), "t", "m", "k")

    assert principal.may_use("m") is may


def test_the_problem_is_the_one_the_caller_saw(exchange):
    """None until someone refuses."""
    assert exchange.problem is None
    exchange.refusal = Refusal(None, "", Problem("forbidden"))

    assert exchange.problem.code == "forbidden"


class Doubling:
    """A model that reads rows as they are."""

    def read(self, instances):
        return np.array(instances)


def test_rows_are_amended_one_for_one_and_after_they_were_read(exchange):
    """What the model is asked is still the caller's rows, in their order."""
    exchange.model, exchange.payload = Doubling(), {"instances": [[1.0], [2.0]]}
    with pytest.raises(RuntimeError, match="one for one"):
        exchange.replace_rows(np.array([[5.0], [2.0]]))
    exchange.read_rows()
    with pytest.raises(RuntimeError, match="one for one"):
        exchange.replace_rows(np.array([[5.0]]))

    exchange.replace_rows(np.array([[5.0], [2.0]]))
    assert exchange.read_rows().tolist() == [[5.0], [2.0]]


def test_who_only_observes_amends_nothing_and_warns_of_nothing(exchange):
    """An answer is as if the plugin were not there."""
    exchange.model, exchange.payload = Doubling(), {"instances": [[1.0]]}
    exchange.read_rows()
    exchange.observing = True
    exchange.replace_rows(np.array([[5.0]]))
    exchange.add_warning([InputWarning("/instances/0", "r", "clipped")], 1)

    assert exchange.read_rows().tolist() == [[1.0]]
    assert (exchange.warnings, exchange.warning_count) == ([], 0)


def test_attack_an_observer_changes_rows_and_body_in_place(exchange):
    """It gets copies; whoever enforces gets the thing itself, without one."""
    exchange.model, exchange.payload = Doubling(), {"instances": [[1.0]]}
    exchange.observing = True
    exchange.read_rows()[:] = 5.0
    exchange.payload["instances"][0][0] = 5.0
    exchange.payload.clear()
    exchange.observing = False

    assert exchange.read_rows().tolist() == [[1.0]]
    assert exchange.payload == {"instances": [[1.0]]}
    assert exchange.read_rows() is exchange.read_rows()
    assert exchange.payload is exchange.payload


def test_what_goes_into_the_answer_can_be_taken_back(exchange):
    """For an observer that writes where it should only read; its events stay."""
    exchange.payload, policy = {"instances": []}, exchange.policy
    undo = exchange.undone()
    exchange.add_event("seen_here")
    exchange.payload, exchange.policy, exchange.principal = None, object(), object()
    exchange.model, exchange.refusal = object(), object()
    exchange.warnings.append(object())
    exchange.allow_origin("https://evil.example")
    undo()

    assert exchange.payload == {"instances": []}
    assert (exchange.policy, exchange.principal, exchange.model) == (policy, None, None)
    assert (exchange.refusal, exchange.warnings, exchange.allowed_origin) == (None, [], "")
    assert [event.name for event in exchange.events] == ["seen_here"]


def test_at_most_twenty_notices_are_kept_and_all_are_counted(exchange):
    """Of however many plugins."""
    for _ in range(3):
        exchange.add_warning(
            [InputWarning(f"/instances/{n}", "r", "flagged") for n in range(15)], 40
        )

    assert len(exchange.warnings) == 20
    assert exchange.warning_count == 120


def test_a_body_is_read_once_up_to_the_limit_and_is_there_for_the_next(tmp_path):
    """A second reader has a limit of its own."""
    exchange = Harness(tmp_path).exchange("POST", "/", data=b"12345")
    assert exchange.read_body(5) == b"12345"
    assert exchange.read_body(100) == b"12345"
    assert exchange.request.get_data(cache=False) == b"12345"
    with pytest.raises(Problem) as refused:
        exchange.read_body(4)
    assert refused.value.code == "body_too_large"


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
@pytest.mark.parametrize("limits", [(4, 100), (100, 4), (4, 20, 10, 100)], ids=str)
def test_readers_with_other_limits_do_not_spoil_each_others_body(tmp_path, limits, announced):
    """Attack: a small limit leaves a beginning behind that passes for the whole."""
    body = b"a body of 22 bytes ..."
    exchange = sent(tmp_path, io.BytesIO(body), len(body) if announced else None)
    for limit in limits:
        if limit >= len(body):
            assert exchange.read_body(limit) == body
            continue
        with pytest.raises(Problem) as refused:
            exchange.read_body(limit)
        assert refused.value.code == "body_too_large"

    exchange.request.max_content_length = len(body) + 1
    assert exchange.request.get_data(cache=False) == body


def sent(tmp_path, stream, length=None):
    """Return a request with this body, chunked where no length is announced."""
    exchange = Harness(tmp_path).exchange("POST", "/")
    environ = exchange.request.environ
    environ.pop("CONTENT_LENGTH", None)
    environ["wsgi.input"] = stream
    environ |= (
        {"wsgi.input_terminated": True} if length is None else {"CONTENT_LENGTH": f"{length}"}
    )
    exchange.request = Request(environ)
    return exchange


def test_a_body_without_an_announced_length_is_read_no_further_than_the_limit(tmp_path):
    """Attack: a beginning must not pass for the whole, and not be kept without end."""

    class Stream(io.BytesIO):
        """Counts what is taken."""

        taken = 0

        def read(self, size=-1):
            found = super().read(size)
            self.taken += len(found)
            return found

        def readinto(self, room):
            found = super().readinto(room)
            self.taken += found
            return found

    stream = Stream(b"x" * 100_000)
    exchange = sent(tmp_path, stream)
    with pytest.raises(Problem):
        exchange.read_body(1000)
    assert stream.taken <= 1001


def test_without_a_body_nothing_is_read(tmp_path):
    assert Harness(tmp_path).exchange("GET", "/").read_body(10) == b""


@pytest.mark.parametrize(
    "wrong",
    [
        {"client": None},
        {"subject": 5},
        {"scopes": "predict"},
        {"scopes": {"predict"}},
        {"scopes": ["predict"]},
        {"models": "*"},
        {"tier": None},
        {"method": b"phase"},
        {"credential": None},
    ],
    ids=str,
)
def test_a_principal_of_the_wrong_kinds_cannot_be_made(wrong):
    """In a text given for a set of rights, each part of a word would be found."""
    right = {
        "client": "c", "subject": "c", "scopes": frozenset(), "models": frozenset(),
        "tier": "", "method": "phase", "credential": "",
    }  # fmt: skip
    Principal(**right)
    with pytest.raises(TypeError, match="Principal"):
        Principal(**right | wrong)
