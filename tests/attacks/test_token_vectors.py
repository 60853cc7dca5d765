"""Wycheproof's vectors for signed tokens, read from where they lie and never copied."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jwt import PyJWS, PyJWTError
from jwt.algorithms import ECAlgorithm
from token_app import refused

from plugins.jwt import tokens

VECTORS = Path(
    os.environ.get("SECUREML_WYCHEPROOF")
    or Path(__file__).parents[3] / "shared" / "data" / "wycheproof"
)


def vectors():
    """Return every (group, test) of Wycheproof's signature vectors, or skip with a word."""
    files = [VECTORS / f"json_web_{name}_test.json" for name in ("signature", "crypto")]
    if not all(file.is_file() for file in files):
        pytest.skip("no Wycheproof vectors: point SECUREML_WYCHEPROOF at their folder")
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


def test_wycheproof_signatures_are_judged_as_the_vectors_say():
    """The library underneath, with our algorithms and our shape before it."""
    seen = {"valid": 0, "invalid": 0}
    for group, test in vectors():
        if not is_es256(group) or not isinstance(test.get("jws"), str):
            continue
        key = ECAlgorithm.from_jwk(group["public"])
        seen[test["result"]] += 1
        try:
            assert tokens._SHAPE.fullmatch(test["jws"])
            PyJWS().decode(test["jws"], key, algorithms=list(tokens.ALGORITHMS))
        except (AssertionError, PyJWTError):
            assert test["result"] == "invalid", test
        else:
            assert test["result"] == "valid", test
    assert seen["valid"] >= 2
    assert seen["invalid"] >= 30
