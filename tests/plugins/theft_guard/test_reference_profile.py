"""What a signed card says of usual rows is read strictly: it decides who is suspicious."""

from __future__ import annotations

from dataclasses import fields

import pytest

from plugins.theft_guard.card_section import ProfileSection
from plugins.theft_guard.reference_profile import ReferenceProfile, profile_of, read_profile
from secureml.kit.cards import Section


@pytest.fixture
def written(target):
    """Return the section as the card has it."""
    return dict(target.handle.card.sections["theft_guard"].private)


def test_a_profile_comes_back_as_it_was_learned(target, written):
    profile = read_profile(written, 30)

    assert profile == profile_of(target.handle.card)
    assert set(written) == {field.name for field in fields(ReferenceProfile)}
    assert profile.columns == 30


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"numbers": [999]},
        {"words": [-1]},
        {"skipped": [1]},
        {"scale": [0.0] * 30},
        {"scale": [1.0]},
        {"bins": []},
        {"mean": []},
        {"whitening": [[1.0]]},
        {"mahalanobis": [1.0]},
        {"nearest": None},
        {"class_distances": []},
        {"margins": [1.0]},
        {"tails": ["a"] * 4},
        {"central": [float("nan")] * 4},
        {"rayleigh": [1.0]},
        {"step": "ab"},
        {"collisions": True},
        {"surplus": 1},
    ],
    ids=str,
)
def test_attack_a_profile_that_was_changed_is_refused_at_the_start(target, written, change):
    section = Section(private={**written, **change})

    with pytest.raises((ValueError, TypeError)):
        ProfileSection().check(section, target.handle.card)


def test_a_profile_with_a_key_missing_is_refused(target, written):
    del written["step"]
    with pytest.raises(ValueError, match="missing keys"):
        ProfileSection().check(Section(private=written), target.handle.card)
