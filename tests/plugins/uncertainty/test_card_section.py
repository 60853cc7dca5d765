"""A model that is sealed with --calibrate has its calibration on the signed card."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from plugins.uncertainty.calibration import calibration_of
from plugins.uncertainty.card_section import CalibrationSection
from secureml import ModelRefused
from secureml.kit.cards import Section, Training
from secureml.models.card import Card
from secureml.models.card_section import check_sections
from tests.made_models import seal_estimator


def text(table, labels):
    lines = [f"{a},{b},{label}" for (a, b), label in zip(table.tolist(), labels, strict=True)]
    return "\n".join(["a,b,answer", *lines]) + "\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory, crepes):
    """A folder with the tables, and the version that was sealed with them."""
    folder = tmp_path_factory.mktemp("calibrated")
    rng = np.random.default_rng(0)
    table = rng.normal(size=(600, 2))
    labels = (table.sum(axis=1) + rng.normal(size=600) > 0).astype(int)
    model = LogisticRegression().fit(table[:300], labels[:300])
    (folder / "held.csv").write_text(text(table[300:], labels[300:]))
    sealed = seal_estimator(
        folder,
        model,
        table=text(table[:300], labels[:300]),
        target="answer",
        options={"uncertainty": {"calibrate": folder / "held.csv"}},
    )
    return folder, sealed, model


def test_the_calibration_is_on_the_card_and_is_read_from_it(made):
    _, sealed, _ = made
    card = Card.from_json(sealed.card.to_json())
    found = calibration_of(card)

    assert found.rows == 300
    assert 0 < found.thresholds[0.8] < found.thresholds[0.99] < 1
    assert card.public()["sections"]["uncertainty"] == {
        "calibration_rows": 300,
        "coverages": [0.8, 0.9, 0.95, 0.99],
        "false_flag_rates": [0.05, 0.01],
    }
    assert sealed.notes == ()


def test_without_the_option_there_is_none(made):
    folder, sealed, model = made
    section = CalibrationSection()
    assert section.learn(Training(sealed.card, model), {}) is None
    assert section.notes(Training(sealed.card, model), None) == ()
    assert folder.exists()


def test_unless_same_knows_the_table_by_its_digest(made, tmp_path):
    folder, sealed, _ = made
    section, held = CalibrationSection(), folder / "held.csv"
    found = sealed.card.sections["uncertainty"]
    other = tmp_path / "other.csv"
    other.write_text(held.read_text() + "1.0,2.0,1\n")

    assert found.private["digest"] == sha256(held.read_bytes()).hexdigest()
    assert section.is_same(found, {"calibrate": held})
    assert not section.is_same(found, {"calibrate": other})
    assert not section.is_same(found, {})
    assert not section.is_same(None, {"calibrate": held})
    assert section.is_same(None, {})


def test_what_few_or_known_rows_mean_is_noted(made, tmp_path):
    folder, _, model = made
    lines = (folder / "model.csv").read_text().splitlines()
    held = (folder / "held.csv").read_text().splitlines()
    (tmp_path / "few.csv").write_text("\n".join([*held[:41], *lines[1:11]]) + "\n")
    notes = seal_estimator(
        tmp_path,
        model,
        table="\n".join(lines) + "\n",
        target="answer",
        options={"uncertainty": {"calibrate": tmp_path / "few.csv"}},
    ).notes

    assert "calibrated with 50 rows, which leaves out coverages 0.99" in notes
    assert "calibrated with 50 rows, which leaves out false_flag_rates 0.01" in notes
    assert any(note.startswith("10 rows of the table of --calibrate are in") for note in notes)


def test_a_refusal_names_the_table_and_nothing_is_sealed(made, tmp_path):
    folder, _, model = made
    with pytest.raises(ModelRefused) as refused:
        seal_estimator(
            tmp_path,
            model,
            table=(folder / "model.csv").read_text(),
            target="answer",
            options={"uncertainty": {"calibrate": folder / "model.csv"}},
        )
    assert f"{folder / 'model.csv'}: every row of the table of --calibrate" in str(refused.value)
    assert list((tmp_path / "models").iterdir()) == []


def test_attack_numbers_that_were_changed_stop_the_load(made):
    _, sealed, _ = made
    found = sealed.card.sections["uncertainty"]
    changed = Section(found.public, {**found.private, "thresholds": [-1.0] * 4})
    card = replace(sealed.card, sections={"uncertainty": changed})
    with pytest.raises(ModelRefused, match="the section of uncertainty cannot be read"):
        check_sections(card, {"uncertainty": CalibrationSection()})
