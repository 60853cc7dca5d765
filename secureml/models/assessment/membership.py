"""Membership inference: can the answers tell whether a row was in the training table?

Attacks that need no model of the attacker's: is the answer right (Yeom et al. 2018, the gap
attack), how probable was the right answer (the same, by loss), modified entropy (Song and Mittal
2021); and one that learns from members it knows (as MembershipInferenceBlackBox of the
adversarial-robustness-toolbox). Beside them a classifier that sees the rows and no answer: where
it succeeds, the two tables differ, and the figures say nothing of the model (Das et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from secureml.models.assessment import roc
from secureml.models.assessment.answer_form import AnswerForm, Answers

Array = np.ndarray[Any, Any]
_SMALLEST = 1e-12
_TREES, _LEAF = 60, 5


@dataclass(frozen=True)
class Attack:
    """What one attack came to with one form of the answer."""

    name: str
    form: str
    auc: float
    true_positives: float | None  # at 1 % false positives


@dataclass(frozen=True)
class Membership:
    """What membership inference came to; ``blind`` is the AUC without any answer."""

    members: int
    others: int
    blind: float
    attacks: tuple[Attack, ...]

    def best(self, form: str) -> Attack:
        """Return the attack with the highest AUC for a form of the answer."""
        return max((each for each in self.attacks if each.form == form), key=lambda a: a.auc)

    def error(self, attack: Attack) -> float:
        """Return the standard error of an AUC."""
        return roc.standard_error(attack.auc, self.members, self.others)


@dataclass(frozen=True)
class Known:
    """Rows with their true answers: encoded as copies are given them, and what the model says.

    ``truth`` are places in the list of classes, or amounts.
    """

    encoded: Array
    truth: Array
    answers: Answers


def infer(
    members: Known, others: Known, forms: Sequence[AnswerForm], generator: np.random.Generator
) -> Membership:
    """Run every attack for every form of the answer."""
    attacks: list[Attack] = []
    for form in forms:
        seen, unseen = form.visible(members.answers), form.visible(others.answers)
        for (name, one), (_, two) in zip(
            _scores(seen, members.truth), _scores(unseen, others.truth), strict=True
        ):
            attacks.append(Attack(name, form.name, roc.auc(one, two), roc.true_positives(one, two)))
        shown = _shown(seen, members.truth), _shown(unseen, others.truth)
        one, two = _learned(*_same_width(*shown), generator)
        area, share = roc.auc(one, two), roc.true_positives(one, two)
        attacks.append(Attack("learned", form.name, area, share))
    blind = roc.auc(*_learned(members.encoded, others.encoded, generator))
    return Membership(len(members.truth), len(others.truth), blind, tuple(attacks))


def _scores(seen: Answers, truth: Array) -> Iterator[tuple[str, Array]]:
    """Yield each attack without learning: higher scores are of members."""
    if seen.amounts is not None:
        yield "loss", -np.abs(seen.amounts - truth)
        return
    assert seen.labels is not None  # noqa: S101 - a model answers one or the other
    yield "right answer", (seen.labels == truth).astype(float)
    if seen.shares is not None:
        yield "confidence", seen.shares[np.arange(len(truth)), truth]
        yield "modified entropy", -_modified_entropy(seen.shares, truth)


def _modified_entropy(shares: Array, truth: Array) -> Array:
    """Return (1 - p_y) log(1 / p_y) + the sum of p_i log(1 / (1 - p_i)) over the others."""
    shares = np.clip(shares, _SMALLEST, 1 - _SMALLEST)
    right = shares[np.arange(len(truth)), truth]
    others = -shares * np.log(1 - shares)
    others[np.arange(len(truth)), truth] = 0.0
    entropy: Array = -(1 - right) * np.log(right) + others.sum(axis=1)
    return entropy


def _shown(seen: Answers, truth: Array) -> Array:
    """Return what the learning attack sees of each row: its answer and its true answer."""
    if seen.amounts is not None:
        return np.column_stack([seen.amounts, truth, np.abs(seen.amounts - truth)])
    assert seen.labels is not None  # noqa: S101
    parts = [(seen.labels == truth).astype(float)[:, None], np.eye(truth.max() + 1)[truth]]
    if seen.shares is not None:
        right = seen.shares[np.arange(len(truth)), truth]
        parts += [seen.shares, right[:, None]]
    return np.hstack(parts)


def _same_width(one: Array, two: Array) -> tuple[Array, Array]:
    width = max(one.shape[1], two.shape[1])
    return tuple(np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in (one, two))  # type: ignore[return-value]  # two of two


def _learned(one: Array, two: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return scores of both, each half by a forest that was fitted on the other half."""
    rows, is_member = np.vstack([one, two]), np.repeat([1, 0], [len(one), len(two)])
    half = np.zeros(len(rows), dtype=bool)
    for kind in (0, 1):
        half[generator.permutation(np.flatnonzero(is_member == kind))[::2]] = True
    scores = np.empty(len(rows))
    for fitted in (half, ~half):
        forest = RandomForestClassifier(
            _TREES,
            min_samples_leaf=_LEAF,
            class_weight="balanced",
            random_state=int(generator.integers(2**31)),
            n_jobs=1,
        ).fit(rows[fitted], is_member[fitted])
        scores[~fitted] = forest.predict_proba(rows[~fitted])[:, 1]
    return scores[: len(one)], scores[len(one) :]
