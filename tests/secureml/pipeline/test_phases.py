"""The phases and their order."""

from __future__ import annotations

from secureml.pipeline.phases import BEFORE_VIEW, NEVER_OBSERVED, SKIPPED_WHEN_UNKNOWN, Phase


def test_there_are_eight_phases_in_this_order():
    """The order is written down once, and it is this one."""
    assert [phase.name for phase in Phase] == [
        "ADMIT",
        "IDENTIFY",
        "AUTHORIZE",
        "LIMIT",
        "VALIDATE",
        "SHAPE",
        "RESPOND",
        "RECORD",
    ]


def test_a_phase_is_the_name_of_a_method():
    """Each value is a Python identifier in lower case."""
    assert all(phase.value == phase.name.lower() and phase.value.isidentifier() for phase in Phase)


def test_five_phases_stand_before_the_view():
    """They are the first five, in order."""
    assert list(BEFORE_VIEW) == list(Phase)[:5]


def test_an_unknown_path_still_asks_who_calls():
    """Otherwise a stranger could map our routes by their 404s."""
    assert Phase.IDENTIFY not in SKIPPED_WHEN_UNKNOWN


def test_identity_and_rights_are_never_only_observed():
    """To observe them would be to open the phase."""
    assert {Phase.IDENTIFY, Phase.AUTHORIZE} == NEVER_OBSERVED
