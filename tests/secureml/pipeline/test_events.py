"""Events reach all who have ears, the vital first; a recorder that fails is never silent."""

from __future__ import annotations

import pytest

from secureml import Event, Measure, Plugin
from secureml.pipeline import events
from secureml.pipeline.exit_signals import PluginEnded


class Ears(Plugin):
    name = "ears"

    def __init__(self, heard, *, vital=False, fails=False):
        self.heard, self.vital, self.fails = heard, vital, fails  # type: ignore[misc]

    def on_event(self, event):
        if self.fails:
            raise OSError("disk full")
        self.heard.append((event.name, self.vital))

    def measures(self):
        if self.fails:
            raise OSError("gone")
        return [Measure("ears_age_seconds", 3.0, "How old they are.")]


class Deaf(Plugin):
    name = "deaf"

    def __init__(self):
        pass


def test_the_vital_hear_first_whatever_the_order_of_the_list():
    heard = []
    events.emit([Ears(heard), Deaf(), Ears(heard, vital=True)], Event("user_updated", "acme"))
    assert heard == [("user_updated", True), ("user_updated", False)]


def test_a_vital_recorder_that_fails_stops_the_change_from_being_called_done():
    heard = []
    with pytest.raises(OSError, match="disk full"):
        events.emit([Ears(heard), Ears(heard, vital=True, fails=True)], Event("user_updated"))
    assert heard == []


def test_another_that_fails_is_logged_and_passed_over(caplog):
    heard = []
    events.emit([Ears(heard, fails=True), Ears(heard)], Event("user_updated"))
    assert heard == [("user_updated", False)]
    assert "ears failed at the event user_updated" in caplog.text


def test_what_cannot_be_measured_is_left_out_and_logged(caplog):
    found = events.measures([Ears([], fails=True), Deaf(), Ears([])])
    assert [measure.value for measure in found] == [3.0]
    assert "ears failed to measure" in caplog.text


@pytest.mark.parametrize("name", ["", "Login", "login", "login-failed", "a b", "x_", "_x"])
def test_a_name_outside_the_vocabulary_is_refused_where_it_is_written(name):
    with pytest.raises(ValueError, match="not an event name"):
        Event(name)


def test_a_note_concerns_the_caller_unless_it_says_whom(tmp_path):
    from secureml import Principal
    from secureml.testing import Harness

    principal = Principal("acme", "acme", frozenset(), frozenset("*"), "standard", "api_keys", "k")
    exchange = Harness(tmp_path).exchange(principal=principal)
    exchange.add_event("authz_fail", scope="predict")
    exchange.add_event("authn_login_fail", client="other")
    assert exchange.events == [
        Event("authz_fail", "acme", {"scope": "predict"}),
        Event("authn_login_fail", "other"),
    ]


class Ending(Plugin):
    """Would end the process, wherever it is asked."""

    name = "ending"

    def __init__(self, *, vital=False):
        self.vital = vital  # type: ignore[misc]

    def on_event(self, event):
        raise SystemExit(3)

    def measures(self):
        raise SystemExit(3)

    def ready(self):
        raise SystemExit(3)


def test_who_would_end_the_process_is_as_one_that_failed(caplog):
    """A worker that begins tells so, and one that is ended there ends the whole server."""
    heard = []
    events.emit([Ending(), Ears(heard)], Event("user_updated"))
    assert heard == [("user_updated", False)]
    with pytest.raises(PluginEnded):
        events.emit([Ending(vital=True)], Event("user_updated"))
    assert events.measures([Ending()]) == []
    (ask,) = events.readiness([Ending(), Deaf()])
    with pytest.raises(PluginEnded):
        ask()
    for words in ("failed at the event user_updated", "failed to measure", "failed at ready"):
        assert f"ending {words}" in caplog.text


@pytest.mark.parametrize("found", [False, True, "", 0, ["full"]], ids=repr)
def test_ready_is_said_by_none_and_not_ready_by_a_word(found):
    """False would have passed for ready."""
    cls = type("Asked", (Plugin,), {"name": "asked", "ready": lambda self: found})
    (ask,) = events.readiness([cls({}, None)])
    with pytest.raises(TypeError, match=r"asked\.ready returned"):
        ask()


def test_who_says_nothing_is_ready_and_who_has_a_word_is_not():
    for found in (None, "store"):
        cls = type("Asked", (Plugin,), {"name": "asked", "ready": lambda self, found=found: found})
        assert [ask() for ask in events.readiness([cls({}, None)])] == [found]


@pytest.mark.parametrize("found", [None, [5], ["age 3"], 7], ids=repr)
def test_what_is_no_measure_hides_none_of_the_others(found, caplog):
    """Whoever shows numbers would fail on it, and show none."""
    cls = type("Odd", (Plugin,), {"name": "odd", "measures": lambda self: found})
    assert [m.value for m in events.measures([cls({}, None), Ears([])])] == [3.0]
    assert "odd failed to measure" in caplog.text
