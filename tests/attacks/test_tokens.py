"""Known attacks on what a token says: requests over the whole pipeline, and one answer to all."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm
from token_app import pack, refused, sign, unpack


def test_a_token_that_nobody_touched_is_accepted(core, token):
    """Else everything below would prove nothing; the forge itself writes good tokens too."""
    assert core.ask(token).status_code == 200
    assert core.ask(core.forge(token)).status_code == 200


# -- algorithms ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "A" * 86])
def test_attack_alg_none(core, token, name, signature):
    """CVE-2015-9235: a token that says it needs no signature."""
    head, body, _ = token.split(".")
    header = pack(json.dumps({**unpack(head), "alg": name}).encode())

    assert refused(core, f"{header}.{body}.{signature}", f"jwt.{'alg' if signature else 'shape'}")


def public_forms(core):
    """Yield our public key as an attacker may have it: from the key set or as a file."""
    public = core.signing.active().private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, spki)
    jwk = core.http.get("/.well-known/jwks.json").json["keys"][0]
    yield pem
    yield pem.strip()
    yield public.public_bytes(serialization.Encoding.DER, spki)
    yield json.dumps(jwk).encode()
    yield json.dumps(jwk, separators=(",", ":")).encode()
    yield ECAlgorithm.to_jwk(public).encode()


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
def test_attack_hmac_with_our_public_key(core, token, name):
    """CVE-2016-10555, CVE-2022-29217: the public key used as a shared secret."""
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[name]
    head, body, _ = token.split(".")
    header = pack(json.dumps({**unpack(head), "alg": name}).encode())
    for secret in public_forms(core):
        mac = hmac.new(secret, f"{header}.{body}".encode(), digest).digest()
        assert refused(core, f"{header}.{body}.{pack(mac)}")


def test_attack_hmac_that_claims_to_be_ours(core, token):
    """The same, with the algorithm the key is for: only the library's check is left."""
    head, body, _ = token.split(".")
    for secret in public_forms(core):
        mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha512).digest()
        assert refused(core, f"{head}.{body}.{pack(mac)}")


@pytest.mark.parametrize("name", ["RS256", "PS256", "ES384", "ES512", "ES256K", "Ed448", 7, None])
def test_attack_another_algorithm(core, token, name):
    """A name is ours or it is refused; it is never looked up."""
    assert refused(core, core.forge(token, header={"alg": name}), "jwt.alg")


def test_attack_a_key_used_for_another_algorithm(core, token):
    """RFC 8725, 3.1: EdDSA is ours, but not of this key."""
    forged = core.forge(token, header={"alg": "EdDSA"})

    assert refused(core, forged, "jwt.proof.InvalidTokenError")


# -- keys named or brought along ----------------------------------------------------------


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/dev/null",
        "keys/signing/x.pem",
        "..%2f..%2fdev%2fnull",
        "' UNION SELECT 'AAAA",
        "x' OR '1'='1",
        "'; DROP TABLE signing_keys; --",
        "| cat /etc/passwd",
        "http://attacker.example/key",
        "",
        "\x00",
        "*",
        "%",
        "_" * 42,
        "A" * 44,
        "A" * 3000,
        None,
        0,
        [],
        {"a": 1},
        ["x"],
    ],
)
def test_attack_a_key_id_that_is_a_path_or_a_query(core, token, kid):
    """It is a thumbprint or nothing; what is no thumbprint reaches neither file nor store."""
    assert refused(core, core.forge(token, header={"kid": kid}))
    assert core.reason in ("jwt.kid", "jwt.oversize")
    assert core.ask(token).status_code == 200


def test_attack_a_key_nobody_knows(core, token):
    """A thumbprint of the attacker's own key, which signed correctly."""
    mine = ec.generate_private_key(ec.SECP256R1())
    forged = core.forge(token, header={"kid": "A" * 43}, key=mine)

    assert refused(core, forged, "jwt.proof.InvalidTokenError")


def test_attack_our_key_id_with_another_key(core, token):
    """The id alone proves nothing."""
    mine = ec.generate_private_key(ec.SECP256R1())

    assert refused(core, core.forge(token, key=mine), "jwt.proof.InvalidSignatureError")


@pytest.mark.parametrize(
    "name",
    [
        "jwk",
        "jku",
        "x5u",
        "x5c",
        "x5t",
        "x5t#S256",
        "crit",
        "zip",
        "b64",
        "cty",
        "enc",
        "epk",
        "nonsense",
    ],
)
def test_attack_a_key_or_rule_brought_along_in_the_header(core, token, name):
    """CVE-2018-0114 and its kin: refused even where the signature is good."""
    mine = ec.generate_private_key(ec.SECP256R1())
    values = {
        "jwk": json.loads(ECAlgorithm.to_jwk(mine.public_key())),
        "crit": ["exp"],
        "b64": True,
        "x5c": ["MIIB"],
    }
    extra = {name: values.get(name, "https://attacker.example/keys")}

    assert refused(core, core.forge(token, header=extra), "jwt.header")
    assert refused(core, core.forge(token, header=extra, key=mine), "jwt.header")


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_attack_a_header_that_leaves_something_out(core, token, name):
    """Nothing is assumed."""
    assert refused(core, core.forge(token, drop=[name]), "jwt.header")


# -- claims -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["aud", "exp", "iat", "nbf", "jti", "sub", "type", "sid", "client_id"]
)
def test_attack_a_claim_left_out(core, token, name):
    """Libraries take a token without `exp`, `jti` or `type`; we do not."""
    assert refused(core, core.forge(token, drop=[name]))
    assert core.reason.startswith(("jwt.missing_", "jwt.proof."))


def test_attack_no_issuer(core, token):
    """It says nobody else's name, so it is for us to refuse."""
    assert refused(core, core.forge(token, drop=["iss"]))
    assert core.reason.startswith(("jwt.missing_", "jwt.proof."))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("aud", ["other", "", "M", "ml2", ["ml"], ["ml", "other"], [], None, {"ml": 1}, True]),
        ("exp", ["2030-01-01", None, True, [9e9], {}, "9999999999"]),
        ("nbf", ["0", None, False, [], {}]),
        ("iat", ["0", None, False, [], {}, 0, -1e300]),
        ("jti", ["", "x", 7, None, "g" * 32, "A" * 32, "a" * 33, ["a" * 32]]),
        ("sid", ["", "x", 7, None, "0" * 32, "' OR 1=1 --"]),
        ("sub", ["", None, 7, "other", ["acme"]]),
        ("client_id", ["other", None, ["acme"]]),
        ("type", ["refresh", "", None, "id", "ACCESS", ["access"]]),
        ("scope", [None, 7, ["predict"], {"predict": 1}]),
    ],
)
def test_attack_a_claim_that_is_wrong(core, token, name, values):
    """Of the right key, and still not ours."""
    for value in values:
        assert refused(core, core.forge(token, claims={name: value})), value
        assert core.reason.startswith("jwt."), value


@pytest.mark.parametrize(
    "issuer",
    [
        "https://ml.example.org/",
        "https://ml.example.or",
        "https://ml.example.org.evil.example",
        "https://ML.example.org",
        "http://ml.example.org",
        "",
        " https://ml.example.org",
    ],
)
def test_attack_an_issuer_that_is_nearly_ours(core, token, issuer):
    """CVE-2024-53861: equal, not similar. It is someone else's token, and nobody is there."""
    assert refused(core, core.forge(token, claims={"iss": issuer}))
    assert core.reason == "no_credential"


@pytest.mark.parametrize("issuer", [None, 7, True, ["https://ml.example.org"], {}])
def test_attack_an_issuer_that_is_no_text(core, token, issuer):
    """A list that holds our name is not our name."""
    assert refused(core, core.forge(token, claims={"iss": issuer}))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_attack_a_time_that_never_comes(core, token, number):
    """No comparison with NaN is true, so it would never expire."""
    claims = unpack(token.split(".")[1])
    for name in ("exp", "iat", "nbf"):
        raw = json.dumps({**claims, name: "?"}).replace('"?"', number)
        assert refused(core, core.forge(token, raw=raw))


def test_attack_a_claim_named_twice(core, token):
    """Whichever a reader picks, another may pick the other one."""
    text = json.dumps(unpack(token.split(".")[1]))
    for extra in ('"sub": "root"', '"exp": 9999999999', '"scope": "admin"', '"sub": "acme"'):
        assert refused(core, core.forge(token, raw=f"{text[:-1]}, {extra}}}"), "jwt.unreadable")
        assert refused(core, core.forge(token, raw=f"{{{extra}, {text[1:]}"), "jwt.unreadable")


def test_attack_more_rights_than_the_client_has(core, token):
    """Even what we signed grants nothing that the client does not hold now."""
    forged = core.forge(token, claims={"scope": "predict models:read token admin"})

    principal = core.jwt._principal
    headers = {"Authorization": f"Bearer {forged}"}
    with core.app.test_request_context(headers=headers):
        exchange = core.harness.exchange(headers=headers)
        held = core.jwt.identify(exchange).scopes
    assert principal is not None
    assert held == {"predict", "models:read", "token"}
    answer = core.http.post(
        "/v1/auth/token", json={}, headers={"Authorization": f"Bearer {forged}"}
    )
    assert (answer.status_code, core.reason) == (403, "jwt.not_traded:jwt")


def test_attack_rsa_and_weak_keys_have_no_way_in(core, token):
    """There is no RSA here to confuse, whatever the size."""
    weak = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    head, body, _ = token.split(".")
    header = pack(json.dumps({**unpack(head), "alg": "RS256"}).encode())

    assert refused(core, sign(f"{header}.{body}", weak, "RS256"))
