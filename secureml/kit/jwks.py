"""Which keys of a published set are believed, and whether one of them signed a token.

One key has one algorithm. A key that is weak, symmetric, published with its private part or
ambiguous is dropped, and why is kept for the operator. What a key says of itself never widens
what the settings allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from secureml.kit.jwt_claims import MAX_TEXT, canonical_algorithm
from secureml.kit.public_key import (
    KeyRefused,
    TrustedKey,
    check_strength,
    fitting,
    is_private,
    public_key,
)

MAX_KEYS = 100
# Normal in an honest set: keys for other purposes. Anything else dropped is worth a look.
HARMLESS = frozenset({"purpose", "algorithm"})


class KeyDecision(NamedTuple):
    """What became of one published key; ``rule`` is "" when it is trusted."""

    kid: str
    kty: str
    alg: str
    rule: str


@dataclass(frozen=True)
class Keys:
    """The believed keys of one issuer. Equal when the same keys are believed."""

    trusted: tuple[TrustedKey, ...]
    decisions: tuple[KeyDecision, ...] = field(default=(), compare=False)

    def pick(self, kid: str | None, alg: str) -> TrustedKey | None:
        """Return the key a token means; without ``kid`` only where there is no choice."""
        meant = [key for key in self.trusted if key.alg == alg and kid in (None, key.kid)]
        return meant[0] if len(meant) == 1 else None


def trust(published: Iterable[Any], algorithms: Iterable[str], rsa_bits: int) -> Keys:
    """Return the keys of a JWK Set (RFC 7517) that are believed, with a decision on each."""
    allowed = frozenset(algorithms)
    read: list[TrustedKey | KeyRefused] = []
    leaked: set[bytes] = set()
    entries = list(published)
    for entry in entries:
        try:
            read.append(_one(entry, allowed, rsa_bits, leaked))
        except KeyRefused as refused:
            read.append(refused)
    return _settle(entries, read, leaked)


def _one(entry: Any, allowed: frozenset[str], rsa_bits: int, leaked: set[bytes]) -> TrustedKey:
    if not isinstance(entry, dict):
        raise KeyRefused("malformed")
    key, kty, curve = public_key(entry)
    identity = key.as_der(private=False)  # type: ignore[union-attr]  # never symmetric here
    if is_private(entry):
        # Whoever read the set can sign with it.
        leaked.add(identity)
        raise KeyRefused("private")
    alg = _algorithm(entry, fitting(kty, curve), allowed)
    check_strength(key, rsa_bits)
    kid = entry.get("kid")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_TEXT):
        raise KeyRefused("malformed")
    return TrustedKey(kid, alg, identity, key)


def _algorithm(entry: Mapping[str, Any], able: tuple[str, ...], allowed: frozenset[str]) -> str:
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list):
        raise KeyRefused("purpose")
    if "verify" not in operations:
        raise KeyRefused("purpose")
    said = canonical_algorithm(entry["alg"]) if "alg" in entry else None
    possible = [alg for alg in able if alg in allowed and said in (None, alg)]
    if len(possible) > 1:
        # An RSA key that does not say, where the settings allow both paddings.
        raise KeyRefused("two_algorithms")
    if not possible:
        raise KeyRefused("algorithm")
    return possible[0]


def _settle(entries: list[Any], read: list[TrustedKey | KeyRefused], leaked: set[bytes]) -> Keys:
    """Drop the twins of leaked keys, and every key whose id names two; keep equal ones once."""
    distinct = {item.identity: item for item in read if isinstance(item, TrustedKey)}
    kids = Counter(key.kid for key in distinct.values() if key.kid is not None)
    trusted, decisions = [], []
    for entry, item in zip(entries, read, strict=True):
        rule = str(item) if isinstance(item, KeyRefused) else ""
        if isinstance(item, TrustedKey):
            if item.identity in leaked:
                rule = "private"
            elif item.kid is not None and kids[item.kid] > 1:
                rule = "kid_twice"
            elif distinct[item.identity] is item:
                trusted.append(item)
        decisions.append(_decision(entry, item, rule))
    trusted.sort(key=lambda key: (key.kid or "", key.identity))
    return Keys(tuple(trusted), tuple(decisions))


def _decision(entry: Any, item: TrustedKey | KeyRefused, rule: str) -> KeyDecision:
    words = entry if isinstance(entry, dict) else {}
    alg = item.alg if isinstance(item, TrustedKey) else words.get("alg", "")
    return KeyDecision(str(words.get("kid", "")), str(words.get("kty", "")), str(alg), rule)
