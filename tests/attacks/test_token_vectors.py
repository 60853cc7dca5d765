"""Wycheproof's vectors for signed tokens, read from where they lie and never copied."""

from __future__ import annotations

import json
from types import SimpleNamespace

import jwt
import pytest
from jwt.algorithms import ECAlgorithm
from token_app import refused

from plugins.jwt import signatures, tokens
from secureml.kit.access_token import parse
from secureml.kit.jwks import trust
from secureml.kit.jws_signature import ALGORITHMS
from secureml.kit.jwt_claims import InvalidToken
from tests.corpora import NO_WYCHEPROOF, WYCHEPROOF


def vectors():
    """Return every (group, test) of Wycheproof's signature vectors, or skip with a word."""
    if WYCHEPROOF is None:
        pytest.skip(NO_WYCHEPROOF)
    files = [WYCHEPROOF / f"json_web_{name}_test.json" for name in ("signature", "crypto")]
    groups = [group for file in files for group in json.loads(file.read_text())["testGroups"]]
    return [(group, test) for group in groups for test in group["tests"]]


def is_es256(group):
    """Tell whether a group is about our algorithm, and about a key for signing with it."""
    public = group.get("public") or {}
    return public.get("alg") == "ES256" and public.get("use") == "sig"


def test_wycheproof_none_of_the_vectors_is_a_token_of_ours(core):
    """Good or bad, signed or encrypted: over the whole pipeline each is refused."""
    asked = 0
    for _, test in vectors():
        text = test.get("jws") or test.get("jwe")
        if isinstance(text, str) and text.isascii() and text.isprintable():
            assert refused(core, text), test["tcId"]
            asked += 1
    assert asked > 400


def judged(text, key, monkeypatch):
    """Return whether our verification takes the signature of a text under the one key there is.

    Through our reading of the text, our choice of the key and our algorithms. The vectors sign
    no claims of ours, so the rules for header and claims are left out: with them, all are refused.
    """
    for name in ("check_header", "check_claims"):
        monkeypatch.setattr(signatures, name, lambda *facts: None)
    keyring = SimpleNamespace(public=lambda kid: SimpleNamespace(algorithm="ES256", key=key))
    policy = tokens.TokenPolicy("https://ml.example.org", "ml", {"access": 900, "refresh": 900})
    ours = signatures.Signatures(keyring, policy, None, None, lambda: 0.0)
    try:
        tokens.parse(text)
    except InvalidToken as refused:
        if refused.reason != "unreadable":  # the payload of a vector need not be JSON
            return False
    try:
        header = {"kid": "", **jwt.get_unverified_header(text)}
        allowed = ours._settings()["JWT_DECODE_ALGORITHMS"]
        jwt.PyJWS().decode(text, ours._key_of(header, {}), algorithms=allowed)
    except jwt.PyJWTError:
        return False
    return True


def test_wycheproof_signatures_are_judged_as_the_vectors_say(monkeypatch):
    """By the jwt plugin: not one more, not one less."""
    seen = {"valid": 0, "invalid": 0}
    for group, test in vectors():
        if not is_es256(group) or not isinstance(test.get("jws"), str):
            continue
        key = ECAlgorithm.from_jwk(group["public"])
        seen[test["result"]] += 1
        assert judged(test["jws"], key, monkeypatch) is (test["result"] == "valid"), test
    assert seen["valid"] >= 2
    assert seen["invalid"] >= 30


def trusted(text, jwk):
    """Return whether a signature counts under a key that an outside issuer publishes.

    Through our reading of the key set, our choice of the key and our verification. The payload of
    a vector need not be JSON, so where it is none, the header alone chooses the key.
    """
    keys = trust([jwk], ALGORITHMS, 2048)
    token = parse(text)
    try:
        header = token.header if token is not None else jwt.get_unverified_header(text)
    except jwt.PyJWTError:
        return False
    key = keys.pick(header.get("kid"), header.get("alg", ""))
    return key is not None and key.verifies(text)


def test_wycheproof_signatures_of_outside_issuers_are_judged_as_the_vectors_say():
    """By the oauth2 plugin and the kit, for each algorithm that an issuer may use."""
    seen = {}
    for group, test in vectors():
        public = group.get("public")
        if not public or not isinstance(test.get("jws"), str):
            continue
        good = test["result"] == "valid" and public.get("alg") in ALGORITHMS
        # One vector is signed by another algorithm than its key is for: no issuer's may be.
        good = good and jwt.get_unverified_header(test["jws"])["alg"] == public["alg"]
        assert trusted(test["jws"], public) is good, test
        seen[public.get("alg"), good] = seen.get((public.get("alg"), good), 0) + 1
    assert all(
        seen.get((alg, good)) for alg in ("ES256", "RS256", "PS256") for good in (True, False)
    )
    assert sum(seen.values()) > 350
