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
from .strategies import HitResult

_MAX_INTEGER = 999_999_999_999_999  # the largest integer of RFC 9651


def ratelimit_policy(rules: Sequence[Rule]) -> str:
    """Return RateLimit-Policy: the quota and window of each rule."""
    return ", ".join(_policy_item(rule) for rule in rules)


def _policy_item(rule: Rule) -> str:
    parts = [f'"{rule.name}"', f"q={min(rule.allowance.amount, _MAX_INTEGER)}"]
    if rule.allowance.seconds is not None:
        parts.append(f"w={rule.allowance.seconds}")
    if rule.unit == ROWS:
        parts.append('secureml-unit="rows"')
    return ";".join(parts)


def ratelimit(results: Sequence[tuple[Rule, HitResult]]) -> str:
    """Return RateLimit: what remains of each quota."""
    return ", ".join(_ratelimit_item(rule, result) for rule, result in results)


def _ratelimit_item(rule: Rule, result: HitResult) -> str:
    item = f'"{rule.name}";r={min(result.remaining, _MAX_INTEGER)}'
    if rule.allowance.seconds is None:
        return item
    seconds = ceil(result.reset_after) if result.allowed else retry_after(result.retry_after)
    return f"{item};t={seconds}"


def retry_after(seconds: float) -> int:
    """Return the whole seconds of Retry-After, after which the wait is over: never one too few.

    A moment that is exactly a whole number of seconds away has not yet come when they are over.
    """
    return floor(seconds) + 1
