"""The calibration of a model, on its signed card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from secureml import Card, ModelRefused
from secureml.kit.cards import CardSection, Section, Training

from .calibration import FALSE_FLAG_RATES, read_calibration
from .conformal import COVERAGES, CalibrationError
from .learn_calibration import learn_calibration


class CalibrationSection(CardSection):
    """A `Calibration`: clients see what is promised, and not the numbers it is decided by."""

    options = (
        click.Option(
            ["--calibrate"],
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help=(
                "Table of rows that the model was not fitted on, with their true answers in the "
                "column of --target; see uncertainty."
            ),
        ),
    )

    def learn(self, training: Training, options: Mapping[str, Any]) -> Section | None:
        """Return the calibration with the table that is given; None without one."""
        path: Path | None = options.get("calibrate")
        if path is None:
            return None
        labelled = training.read_labelled(path)
        try:
            found = learn_calibration(training, labelled)
        except CalibrationError as error:
            raise ModelRefused("card", f"{path}: {error}", error.fix) from error
        return Section(found.to_public(), found.to_private())

    def notes(self, training: Training, section: Section | None) -> Sequence[str]:
        """Tell what cannot be promised, and how many rows are no test of the model."""
        if section is None:
            return ()
        found = []
        for name, levels in (("coverages", COVERAGES), ("false_flag_rates", FALSE_FLAG_RATES)):
            absent = [level for level in levels if level not in section.public[name]]
            if absent:
                found.append(
                    f"calibrated with {section.public['calibration_rows']} rows, which leaves out "
                    f"{name} {', '.join(map(str, absent))}"
                )
        if known := section.private["known_rows"]:
            found.append(
                f"{known} rows of the table of --calibrate are in the table of --data, too: if "
                "the model was fitted on them, less is covered than is said"
            )
        return tuple(found)

    def is_same(self, section: Section | None, options: Mapping[str, Any]) -> bool:
        """Tell whether the section is of the table that is given."""
        path: Path | None = options.get("calibrate")
        if section is None or path is None:
            return section is None and path is None
        return bool(section.private["digest"] == sha256(path.read_bytes()).hexdigest())

    def check(self, section: Section, card: Card) -> None:
        """Refuse numbers that do not fit the card's features."""
        read_calibration(section.public, section.private, len(card.features))
