"""Every control says in docs/failures.md what it does when it fails."""

from __future__ import annotations

from pathlib import Path

import failures_table
import pytest
import settings_reference

from secureml.pipeline.plugin import phases_of

CHECKOUT = Path(__file__).resolve().parents[2]
# What runs while the server answers or starts; commands and panels fail before a person's eyes.
EXTRAS = ("verify_artifact", "render", "ready", "on_event", "measures")


def places_of(cls):
    """Return where a plugin stands; one that only has routes stands nowhere."""
    return {phase.name for phase in phases_of(cls)} | {
        word for word in EXTRAS if hasattr(cls, word)
    }


@pytest.mark.parametrize("cls", settings_reference.plugins(), ids=lambda cls: cls.name)
def test_every_plugin_has_its_row_for_every_phase_and_no_other(cls):
    """A control that was added must say how it fails."""
    places = places_of(cls)
    rows = [row.place for row in failures_table.at_phases() if row.plugin == cls.name]
    missing = [f"| `{cls.name}` | {place} | ... | ... |" for place in sorted(places - set(rows))]

    assert missing == [], "add to the first table of docs/failures.md"
    assert sorted(rows) == sorted(places)


def test_no_row_speaks_of_a_plugin_that_is_not_there():
    """A page that outlives its plugin lies."""
    known = {cls.name for cls in settings_reference.plugins() if places_of(cls)}

    assert {row.plugin for row in failures_table.at_phases()} == known


def test_every_other_failure_is_named_once_and_shown_by_something_that_exists():
    """Here, or by the tests it names."""
    rows = failures_table.anything()

    assert len({row.key for row in rows}) == len(rows) > 15
    for row in rows:
        assert row.shown_by == "here" or (CHECKOUT / row.shown_by.strip("`")).is_file(), row.key


def test_every_cell_promises_something_that_can_be_tested():
    """A status and a code, an answer, or no server."""
    for row in (*failures_table.at_phases(), *failures_table.anything()):
        answer = failures_table.answer_of(row.caller)
        assert answer is None or 200 <= answer[0] < 600
