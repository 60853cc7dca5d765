"""Whether a key signed a token; every way a token can be broken is a plain no."""

from __future__ import annotations

import warnings

import pytest

from secureml.kit.jws_signature import signed_by
from tests.outside_issuer import EC, EC_OTHER, ED, b64, header, make_token, sign


def test_the_signer_is_told_from_anybody_else():
    token = make_token(EC)

    assert signed_by(token, EC)
    assert not signed_by(token, EC_OTHER)


def test_every_flipped_bit_of_a_signature_is_seen():
    head, payload, signature = make_token(EC).split(".")

    for place in range(0, len(signature), 7):
        other = "A" if signature[place] != "A" else "B"
        changed = signature[:place] + other + signature[place + 1 :]
        assert not signed_by(f"{head}.{payload}.{changed}", EC)


@pytest.mark.parametrize("signature", ["", "A", "=", "AAAA", b64(b"\0" * 64), "é", "A" * 2000])
def test_a_signature_of_another_shape_is_none(signature):
    """All zeros too: CVE-2022-21449."""
    assert not signed_by(make_token(EC).rpartition(".")[0] + f".{signature}", EC)


def test_a_key_of_another_kind_is_a_no_and_not_a_fault():
    assert not signed_by(make_token(EC), ED)
    assert not signed_by(sign(header(alg="EdDSA"), {}, ED), EC)


def test_both_names_of_eddsa_verify_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        token, again = (sign(header(alg=alg), {}, ED) for alg in ("EdDSA", "Ed25519"))
        assert signed_by(token, ED)
        assert signed_by(again, ED)
