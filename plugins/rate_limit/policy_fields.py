"""``RateLimit-Policy`` and ``RateLimit`` as structured fields, and ``Retry-After``.

draft-ietf-httpapi-ratelimit-headers-11: lists of strings with parameters (RFC 9651). Rows have
no entry in the draft's registry of quota units, so a policy in rows says so in a parameter of
our own, which others may read as a comment. ``t`` is the whole window where quota comes back
bit by bit: a client that divides what is left by it never asks for more than is fair.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

from .rules import ROWS, Rule
from .windows import Outcome

_MOST = 999_999_999_999_999  # the largest integer of RFC 9651


def policies(rules: Sequence[Rule]) -> str:
    """Return RateLimit-Policy: what each rule allows."""
    return ", ".join(_policy(rule) for rule in rules)


def _policy(rule: Rule) -> str:
    words = [f'"{rule.name}"', f"q={min(rule.allowance.amount, _MOST)}"]
    if rule.allowance.seconds is not None:
        words.append(f"w={rule.allowance.seconds}")
    if rule.unit == ROWS:
        words.append('secureml-unit="rows"')
    return ";".join(words)


def standing(found: Sequence[tuple[Rule, Outcome]]) -> str:
    """Return RateLimit: what is left of each."""
    return ", ".join(_standing(rule, outcome) for rule, outcome in found)


def _standing(rule: Rule, outcome: Outcome) -> str:
    words = f'"{rule.name}";r={min(outcome.left, _MOST)}'
    if rule.allowance.seconds is None:
        return words
    seconds = ceil(outcome.window) if outcome.allowed else retry_after(outcome.wait)
    return f"{words};t={seconds}"


def retry_after(wait: float) -> int:
    """Return whole seconds after which the wait is over for certain: never one too few.

    A moment that is exactly a whole number of seconds away has not yet come when they are over.
    """
    return floor(wait) + 1
