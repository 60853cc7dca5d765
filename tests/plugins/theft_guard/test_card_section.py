"""The profile is signed with the model, shown to nobody, and holds no row of the table."""

from __future__ import annotations

import joblib
import numpy as np
import pytest

from plugins.theft_guard.card_section import ProfileSection
from plugins.theft_guard.reference_profile import profile_of, read_profile
from secureml.kit.cards import Section, Training


@pytest.fixture
def written(target):
    """Return the section as the card has it."""
    return dict(target.handle.card.sections["theft_guard"].private)


def test_without_a_table_there_is_no_section(target):
    training = Training(target.handle.card, target.handle)
    assert ProfileSection().learn(training, {}) is None


def test_what_is_learned_again_is_what_is_on_the_card(target, written):
    card, names = target.handle.card, [f"x{i}" for i in range(30)]
    estimator = joblib.load(target.folder / "cancer-logistic.joblib")
    columns = dict(zip(names, target.train.T.tolist(), strict=True))
    found = ProfileSection().learn(Training(card, estimator, columns), {})

    assert read_profile(found.private, 30) == profile_of(card)
    ProfileSection().check(found, card)


def test_a_profile_is_not_shown_to_clients(target, written):
    assert "sections" not in target.handle.card.public()
    with pytest.raises(ValueError, match="not public"):
        ProfileSection().check(Section(public=written), target.handle.card)


def test_no_row_of_the_table_is_in_it(target, written):
    centre = set(map(str, np.ravel(written["centre"]).tolist()))
    rows = [set(map(str, row.tolist())) for row in target.train]

    assert max(len(centre & row) for row in rows) < 10
