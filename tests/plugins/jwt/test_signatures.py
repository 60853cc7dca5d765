"""Flask-JWT-Extended behind our words: its loaders, its handlers, and what it signs."""

from __future__ import annotations

import flask_jwt_extended as library
import jwt
import pytest
from flask import Blueprint, g
from flask_jwt_extended import exceptions
from token_app import CHALLENGE, TokenApp, unpack
from werkzeug.exceptions import NotFound

from plugins.jwt import signatures, tokens
from plugins.jwt.families import FamilyEnded
from plugins.jwt.tokens import ACCESS
from secureml import Plugin, Problem, public
from secureml.kit.jwt_claims import InvalidToken

# Everything the library registers a handler for, as it would be raised.
RAISED = {
    "csrf": exceptions.CSRFError(),
    "decode": jwt.DecodeError(),
    "fresh": exceptions.FreshTokenRequired("", {}, {}),
    "claim": jwt.MissingRequiredClaimError("exp"),
    "audience": jwt.InvalidAudienceError(),
    "issuer": jwt.InvalidIssuerError(),
    "header": exceptions.InvalidHeaderError(),
    "invalid": jwt.InvalidTokenError(),
    "jwt_decode": exceptions.JWTDecodeError(),
    "missing": exceptions.NoAuthorizationError(),
    "query": exceptions.InvalidQueryParamError(),
    "revoked": exceptions.RevokedTokenError({}, {}),
    "verification": exceptions.UserClaimsVerificationError("", {}, {}),
    "lookup": exceptions.UserLookupError("", {}, {}),
    "wrong": exceptions.WrongTokenError(),
}
OUR_OWN = {InvalidToken, FamilyEnded}  # what our callbacks raise inside the library
EXPIRED = jwt.ExpiredSignatureError()
EXPIRED.jwt_header, EXPIRED.jwt_data = {}, {}
RAISED["expired"] = EXPIRED
OURS = {
    "problem": (Problem("rate_limited", reason="ours"), 429, "rate_limited"),
    "http": (NotFound(), 404, "not_found"),
    "plain": (RuntimeError("secret detail"), 500, "internal_error"),
    "key": (KeyError("secret detail"), 500, "internal_error"),
}


def raising():
    """Return routes that raise by name, and one behind the library's own decorator."""
    views = Blueprint("raising", __name__)

    @views.get("/raise/<name>")
    @public()
    def fail(name):
        raise RAISED.get(name) or OURS[name][0]

    @views.get("/guarded")
    @public()
    @library.jwt_required()
    def guarded():
        return {"sub": library.get_jwt_identity()}

    return views


@pytest.fixture
def core(tmp_path):
    """An application with those routes."""
    return TokenApp(tmp_path, blueprints=[raising()])


@pytest.mark.parametrize("name", RAISED)
def test_every_error_of_the_library_is_our_refusal(core, name):
    """Worded and recorded by the pipeline, with no text of the library in it."""
    answer = core.http.get(f"/raise/{name}")

    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert set(answer.json) == {"type", "title", "status", "code", "id"}
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert core.reason.startswith("jwt.library.")


def test_every_handler_the_library_registers_is_in_that_list(core):
    """So a new one in a later version is noticed."""
    handlers = core.app.error_handler_spec[None][None]

    assert set(handlers) == {type(error) for error in RAISED.values()} | {*OUR_OWN, Exception}


@pytest.mark.parametrize("name", OURS)
def test_the_library_shadows_no_refusal_of_the_pipeline(core, name, caplog):
    """Problems, HTTP errors and faults stay with the pipeline's own handler."""
    answer = core.http.get(f"/raise/{name}")

    assert (answer.status_code, answer.json["code"]) == OURS[name][1:]
    assert b"secret" not in answer.data


def test_a_fault_at_a_phase_stays_a_fault_though_the_library_would_call_it_a_bad_token(tmp_path):
    """A plugin that breaks with a library's exception must not look like a caller's mistake."""

    class Breaks(Plugin):
        name = "breaks"

        def limit(self, exchange):
            raise jwt.DecodeError("secret detail")

    core = TokenApp(tmp_path, more=[Breaks])
    answer = core.http.get("/v1/models", headers={"X-API-Key": core.key})

    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert core.reason == "unexpected.DecodeError"


def test_a_view_behind_the_librarys_decorator_keeps_our_rules(core):
    """It takes what we take, and refuses what we refuse."""
    pair = core.pair()
    # The library judges expiry by the machine's clock, which is far beyond the test's.
    fresh = core.forge(pair["access_token"], claims={"exp": 9_000_000_000})
    assert core.ask(fresh, "/guarded").json == {"sub": "acme"}

    for text in (
        pair["refresh_token"],
        core.forge(fresh, drop=["jti"]),
        core.forge(fresh, header={"typ": "JWT"}),
        core.forge(fresh, claims={"aud": "other"}),
        "x.y.z",
    ):
        answer = core.ask(text, "/guarded")
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert core.http.get("/guarded").status_code == 401
    core.revoke(pair["access_token"])
    assert core.ask(fresh, "/guarded").status_code == 401


@pytest.mark.parametrize(
    "change",
    [{"exp": 1}, {"nbf": 9_000_000_000}, {"jti": "x"}, {"type": "refresh"}],
    ids=["expired", "not yet", "strange", "other kind"],
)
def test_whoever_calls_the_library_with_a_token_gets_our_rules(core, change):
    """They stand in its decode key callback, so `decode_token` alone keeps them as well."""
    good = core.pair()["access_token"]
    with core.app.app_context():
        assert library.decode_token(good)["sub"] == "acme"
        with pytest.raises(InvalidToken):
            library.decode_token(core.forge(good, claims=change))


def test_the_library_itself_verifies_on_the_request_path(core, monkeypatch):
    """Once for each token: what is known needs no second look."""
    calls = []
    verify = signatures.decode_token
    token = core.pair()["access_token"]
    monkeypatch.setattr(signatures, "decode_token", lambda text: calls.append(text) or verify(text))
    for _ in range(3):
        assert core.ask(token).status_code == 200

    assert calls == [token]


def test_a_new_token_is_read_three_times_by_the_library_and_once_by_us(core, monkeypatch):
    """Each reading is a twentieth of the time of a new token."""
    token, read = core.pair()["access_token"], []
    load, parse = jwt.PyJWS._load, tokens.parse
    monkeypatch.setattr(
        jwt.PyJWS, "_load", lambda self, text: read.append("library") or load(self, text)
    )
    monkeypatch.setattr(tokens, "parse", lambda text: read.append("ours") or parse(text))
    assert core.ask(token).status_code == 200
    assert read == ["ours", *["library"] * 3]


def test_attack_a_token_at_a_method_that_the_library_does_not_look_at(core):
    """It asks for no token at OPTIONS; a bad one is refused all the same, a good one counts."""
    token = core.pair()["access_token"]
    for text, holds in ((token, True), (core.forge(token, claims={"aud": "other"}), False)):
        headers = {"Authorization": f"Bearer {text}"}
        with core.app.test_request_context(method="OPTIONS", headers=headers):
            exchange = core.harness.exchange("OPTIONS", "/", headers=headers)
            if holds:
                assert core.jwt.identify(exchange).client == "acme"
            else:
                with pytest.raises(Problem):
                    core.jwt.identify(exchange)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_what_is_signed_says_who_signed_it(core, algorithm):
    """RFC 9068's header, and the claims it demands; nothing for cookies."""
    kid = core.signing.rotate(algorithm).kid
    token = core.pair()["access_token"]
    header, claims = (unpack(part) for part in token.split(".")[:2])

    assert header == {"alg": algorithm, "kid": kid, "typ": "at+jwt"}
    assert {"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type", "client_id"} <= claims.keys()
    assert "csrf" not in claims
    assert core.ask(token).status_code == 200


def test_tokens_of_both_algorithms_verify_side_by_side(core):
    """A rotation from one to the other breaks nobody."""
    old = core.pair()["access_token"]
    core.signing.rotate("EdDSA")
    new = core.pair()["access_token"]

    assert core.ask(old).status_code == core.ask(new).status_code == 200


def test_a_stock_verifier_accepts_our_token_with_our_key_set(core):
    """What we publish is enough for anyone."""
    token = core.pair()["access_token"]
    keys = jwt.PyJWKSet.from_dict(core.http.get("/.well-known/jwks.json").json)
    key = keys[jwt.get_unverified_header(token)["kid"]]

    claims = jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        audience="ml",
        issuer="https://ml.example.org",
        options={"verify_exp": False},
    )
    assert claims["sub"] == "acme"


def test_the_private_key_is_in_no_repr(core):
    """What signs is handed around inside a library that may log it."""
    with core.app.test_request_context():
        g.exchange = None
        assert "private" not in repr(core.jwt._issuer._signatures).lower()
        with pytest.raises(InvalidToken):
            core.jwt._issuer.verify("a.b.c", ACCESS)
