"""The rules that rows must keep, on the signed card of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from secureml import Card, ModelRefused
from secureml.kit.cards import CardSection, Section, Training

from .growing_features import growing_notes
from .rule import RuleError
from .rule_file import check_rules, check_table, read_rules, rules_in


class RuleSection(CardSection):
    """``{"rules": [{"name", "rule", "action"}]}``, all of it public: callers may keep them."""

    options = (
        click.Option(
            ["--rules"],
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file of [[rules]] for rows; see input_rules.",
        ),
    )

    def learn(self, training: Training, options: Mapping[str, Any]) -> Section | None:
        """Return the rules of the file; ModelRefused where they do not fit features or table."""
        try:
            rules = read_rules(options.get("rules"))
            check_rules(rules, training.card.features)
            check_table(rules, training.card.features, training.columns)
        except RuleError as error:
            raise ModelRefused(
                "card", str(error), "correct the file of rules, seal again"
            ) from None
        return Section(public={"rules": [asdict(rule) for rule in rules]}) if rules else None

    def notes(self, training: Training, section: Section | None) -> Sequence[str]:
        """Tell of features that will grow out of the range seen in training."""
        rules = () if section is None else rules_in(section.public)
        return tuple(growing_notes(training.card.features, training.columns, rules))

    def is_same(self, section: Section | None, options: Mapping[str, Any]) -> bool:
        """Tell whether the file has the rules that are on the card."""
        rules = () if section is None else rules_in(section.public)
        try:
            return rules == read_rules(options.get("rules"))
        except RuleError:
            return False  # sealing says what is wrong with it

    def check(self, section: Section, card: Card) -> None:
        """Refuse rules that cannot be read, or do not fit the features."""
        if section.private or set(section.public) != {"rules"} or not section.public["rules"]:
            raise ValueError("it holds something else than rules")
        check_rules(rules_in(section.public), card.features)
