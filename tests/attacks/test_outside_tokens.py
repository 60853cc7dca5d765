"""Attack: tokens of an outside identity provider that are forged, bent, stolen or misdirected.

Every token goes through a real pipeline over a real socketless app; the provider is a server
on loopback where it has to misbehave on the wire. The one answer is the same 401 for all.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from plugins.errors.plugin import Errors
from plugins.oauth2.plugin import OAuth2
from plugins.scopes.plugin import Scopes
from secureml import Plugin
from secureml.kit.fetch import MAX_BYTES
from secureml.testing import START, Harness
from tests.outside_issuer import (
    AUDIENCE,
    EC,
    EC_OTHER,
    ED,
    ISSUER,
    Answering,
    b64,
    claims,
    forge,
    header,
    http,
    jwks,
    make_token,
    rsa,
    sign,
    table,
    write_keys,
)

THEIRS = ECKey.generate_key("P-256", {"kid": "ec-1"})  # an attacker's, under an honest id


class Witness(Plugin):
    """Keeps the private reason of the last refusal."""

    name = "witness"

    def __init__(self, config, host):
        self.reason = ""

    def record(self, exchange):
        self.reason = exchange.problem.reason if exchange.problem else ""


class Core:
    """A pipeline with the plugin, and one client."""

    def __init__(self, folder: Path, *tables) -> None:
        self.harness = Harness(folder)
        plugins = [self.harness.load(cls) for cls in (Scopes, Errors, Witness)]
        oauth2 = self.harness.load(OAuth2, {"issuers": list(tables), "origins": [AUDIENCE]})
        self.plugin, self.witness = oauth2.plugin, plugins[-1].plugin
        self.harness.clients.add("acme", scopes=["models:read"])
        self.client = self.harness.app([oauth2, *plugins]).test_client()

    def ask(self, token, path="/v1/models", **headers):
        return self.client.get(path, headers={"Authorization": f"Bearer {token}"} | headers)

    def refused(self, token, **headers):
        """Return the private reason; the public answer is always the very same."""
        answer = self.ask(token, **headers)
        body = answer.get_json()
        body.pop("id")
        assert answer.status_code == 401, self.witness.reason
        assert body == {
            "type": "urn:secureml:problem:unauthorized",
            "title": "Valid credentials are required",
            "status": 401,
            "code": "unauthorized",
        }
        return self.witness.reason.removeprefix("oauth2.")

    def close(self):
        self.plugin.close()
        self.harness.store.close()


@pytest.fixture
def applications():
    """Applications that are closed at the end."""
    built = []

    def make(folder, *tables):
        built.append(Core(folder, *tables))
        return built[-1]

    yield make
    for core in built:
        core.close()


@pytest.fixture
def core(applications, tmp_path):
    write_keys(tmp_path, EC, ED)
    made = applications(tmp_path, table())
    assert made.ask(make_token(scope="ml.read")).status_code == 200
    return made


# -- the algorithm -----------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "null"])
def test_an_unsigned_token(core, alg):
    head = b64(json.dumps(header(alg=alg)))
    payload = b64(json.dumps(claims()))

    assert core.refused(f"{head}.{payload}.") == "alg"
    assert core.refused(f"{head}.{payload}.{make_token().split('.')[2]}") == "alg"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["pem", "der", "jwk", "x", "empty"])
def test_a_mac_with_the_public_key(core, alg, form):
    """Every spelling of a public key is public; none is a secret."""
    public = EC.as_dict(private=False)
    secret = {
        "pem": EC.as_pem(private=False),
        "der": EC.as_der(private=False),
        "jwk": json.dumps(public).encode(),
        "x": str(public["x"]).encode(),
        "empty": b"",
    }[form]

    assert core.refused(forge(header(alg=alg), claims(), secret)) == "alg"


@pytest.mark.parametrize("alg", ["ES384", "ES512", "RS256", "PS256", "EdDSA", "Ed25519", "ES256K"])
def test_a_good_signature_under_another_name(core, alg):
    assert core.refused(self_signed(EC, alg=alg)) in ("alg", "key_unknown", "signature")


def self_signed(key, **changed):
    """Sign as ES256 whatever the header says."""
    head, payload = b64(json.dumps(header(**changed))), b64(json.dumps(claims()))
    return f"{head}.{payload}.{sign(header(), claims(), key).split('.')[2]}"


def test_a_key_of_one_kind_under_the_id_of_another(core):
    assert core.refused(make_token(ED, header(alg="EdDSA", kid="ec-1"))) == "key_unknown"
    assert core.refused(make_token(EC, header(kid="ed-1"))) == "key_unknown"


# -- the header --------------------------------------------------------------------------


def test_a_token_that_brings_its_own_key(core):
    """CVE-2018-0114, and Authlib before 1.6.9."""
    head = header(jwk=THEIRS.as_dict(private=False))

    assert core.refused(make_token(THEIRS, head)) == "header"


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_a_token_that_says_where_its_key_is(core, member):
    with Answering(http(json.dumps(jwks(THEIRS)))) as server:
        head = header(**{member: f"http://127.0.0.1:{server.port}/keys"})

        assert core.refused(make_token(THEIRS, head)) == "header"
        assert server.asked == []


def test_a_token_that_brings_a_certificate(core):
    assert core.refused(make_token(THEIRS, header(x5c=["MIIB"]))) == "header"


@pytest.mark.parametrize(
    "words",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": True},
        {"zip": "DEF"},
    ],
)
def test_a_token_that_changes_the_rules(core, words):
    head, payload = b64(json.dumps(header(**words))), b64(json.dumps(claims()))
    signed = f"{head}.{payload}.{make_token().split('.')[2]}"

    assert core.refused(signed) == "header"


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/dev/null",
        "file:///etc/hostname",
        "ec-1' OR '1'='1",
        "x' UNION SELECT 'a",
        "ec-1\u0000",
        "EC-1",
        " ec-1",
        "ec-1 ",
        "",
        "*",
        "$(id)",
        "https://evil.example/keys",
        "__proto__",
    ],
)
def test_a_key_id_is_compared_and_nothing_else_is_done_with_it(core, kid):
    assert core.refused(make_token(THEIRS, header(kid=kid))) == "key_unknown"
    assert core.refused(make_token(EC, header(kid=kid))) == "key_unknown"


@pytest.mark.parametrize("kid", [0, True, ["ec-1"], {"ec-1": 1}, "k" * 300])
def test_a_key_id_of_another_shape(core, kid):
    assert core.refused(make_token(head=header(kid=kid))) == "kid"


def test_an_attackers_key_under_an_honest_id(core):
    assert core.refused(make_token(THEIRS)) == "signature"


def test_a_token_without_a_key_id_where_there_is_a_choice(applications, tmp_path):
    write_keys(tmp_path, EC, EC_OTHER)
    core = applications(tmp_path, table())

    assert core.refused(make_token(head=header(kid=None))) == "key_unknown"


# -- the claims --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "aud", "client_id"])
def test_a_token_without_a_claim(core, name):
    assert core.refused(make_token(**{name: None})) == f"{name}"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": START - 30}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": str(START + 300)}, "exp"),
        ({"exp": 1e300}, "exp"),
        ({"iat": START + 31}, "iat"),
        ({"nbf": START + 31}, "nbf"),
        ({"aud": "https://other.example.org"}, "aud"),
        ({"aud": ["https://other.example.org", AUDIENCE + "/"]}, "aud"),
        ({"aud": [AUDIENCE, 7]}, "aud"),
        ({"aud": {AUDIENCE: 1}}, "aud"),
        ({"aud": []}, "aud"),
        ({"sub": ""}, "sub"),
        ({"sub": ["user-7"]}, "sub"),
        ({"client_id": "acme"}, "client_unmapped"),
        ({"client_id": ["their-app"]}, "client_id"),
        ({"scope": {"ml.read": 1}}, "claim_scope"),
        ({"nonce": "n"}, "not_an_access_token"),
        ({"at_hash": "h"}, "not_an_access_token"),
        ({"typ": "ID"}, "not_an_access_token"),
        ({"typ": "Refresh"}, "not_an_access_token"),
        ({"token_use": "id"}, "not_an_access_token"),
        ({"events": {}}, "not_an_access_token"),
    ],
)
def test_a_token_that_says_something_wrong(core, changed, reason):
    assert core.refused(make_token(**changed)) == reason


@pytest.mark.parametrize(
    "typ", [None, "", "JWT", "id_token", "dpop+jwt", "logout+jwt", "secevent+jwt"]
)
def test_a_token_of_another_type(core, typ):
    assert core.refused(make_token(head=header(typ=typ))) == "typ"


def test_one_of_several_audiences_is_us(core):
    assert core.ask(make_token(aud=["other", AUDIENCE], scope="ml.read")).status_code == 200


def test_an_issuer_that_differs_by_a_letter_is_nobody(core):
    for other in (ISSUER + "/", ISSUER + ".", ISSUER.upper(), ISSUER + "\u0000", ISSUER[:-1]):
        assert core.refused(make_token(iss=other)) == "no_credential"


def test_scopes_spelt_like_ours_grant_nothing(core):
    assert core.ask(make_token(scope="models:read predict *")).status_code == 403


# -- two issuers -------------------------------------------------------------------------


def test_two_issuers_with_one_key_id_are_not_mixed_up(applications, tmp_path):
    """Each token is judged by the keys of the issuer it names, whatever its key id."""
    write_keys(tmp_path, EC, name="a.json")
    write_keys(tmp_path, THEIRS, name="b.json")
    other = "https://other.example.org"
    words = {"clients": {"their-app": "acme"}, "keys": "file:b.json", "name": "b"}
    core = applications(tmp_path, table(keys="file:a.json"), table(issuer=other, **words))

    assert core.ask(make_token(EC, scope="ml.read")).status_code == 200
    assert core.ask(make_token(THEIRS, iss=other, scope="ml.read")).status_code == 200
    assert core.refused(make_token(THEIRS)) == "signature"
    assert core.refused(make_token(EC, iss=other)) == "signature"


def test_one_issuers_client_is_not_the_others(applications, tmp_path):
    write_keys(tmp_path, EC)
    other = "https://other.example.org"
    second = table(issuer=other, name="b", clients={"else": "acme"})
    core = applications(tmp_path, table(), second)

    assert core.refused(make_token(iss=other)) == "client_unmapped"


# -- the provider on the wire ------------------------------------------------------------


class Wire:
    """A provider whose answers are chosen; every token is minted for it."""

    def __init__(self, server, applications, folder, **changed):
        self.server, self.issuer = server, f"http://127.0.0.1:{server.port}"
        self.core = applications(folder, table(issuer=self.issuer, keys="discovery", **changed))

    def publish(self, keys, **metadata):
        words = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | metadata
        answer = keys if isinstance(keys, bytes) or callable(keys) else http(json.dumps(keys))
        self.server._answers = [http(json.dumps(words)), answer]

    def ask(self, key=EC, **changed):
        return self.core.ask(
            make_token(key, iss=self.issuer, scope="ml.read", **changed)
        ).status_code


@pytest.fixture
def wire(applications, tmp_path):
    with Answering(b"") as server:
        yield Wire(server, applications, tmp_path)


def test_an_honest_provider_is_believed(wire):
    wire.publish(jwks(EC))

    assert wire.ask() == 200


def test_a_key_set_that_redirects_is_not_followed(wire):
    with Answering(http(json.dumps(jwks(EC)))) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/keys"
        wire.publish(http("", "302 Found", "Content-Type: application/json", location))

        assert wire.ask() == 503
        assert elsewhere.asked == []


def test_a_key_set_without_end_is_not_read(wire):
    wire.publish(http(json.dumps(jwks(EC)) + " " * MAX_BYTES))

    assert wire.ask() == 503


def test_a_key_set_that_never_comes_holds_nobody(wire, monkeypatch):
    monkeypatch.setattr("secureml.kit.fetch.READ_SECONDS", 0.05)
    wire.publish(lambda connection: connection.recv(1))

    assert wire.ask() == 503


@pytest.mark.parametrize("said", ["/", "?", "//", "."])
def test_metadata_of_another_issuer_by_a_letter(wire, said):
    """One host, two tenants: the name that is compared is the whole name."""
    wire.publish(jwks(EC), issuer=wire.issuer + said)

    assert wire.ask() == 503


def test_metadata_that_points_at_another_host(wire):
    with Answering(http(json.dumps(jwks(EC)))) as elsewhere:
        wire.publish(jwks(EC), jwks_uri=f"http://127.0.0.1:{elsewhere.port}/keys")

        assert wire.ask() == 503
        assert elsewhere.asked == []


def test_a_key_id_given_to_two_keys(wire):
    """Which of them signs is then anybody's choice."""
    wire.publish(jwks(EC, THEIRS))

    assert wire.ask(EC) == 401
    assert wire.ask(THEIRS) == 401


def test_a_key_published_with_its_private_part(wire):
    wire.publish(jwks(EC, private=True))

    assert wire.ask() == 401


def test_a_weak_key(wire):
    weak = rsa(2048, kid="rsa-1")
    wire.publish(jwks(weak))
    token = make_token(weak, header(alg="PS256", kid="rsa-1"), iss=wire.issuer, scope="ml.read")

    assert wire.core.ask(token).status_code == 401


def test_a_shared_secret_in_the_set(wire):
    secret = b"0" * 32
    wire.publish({"keys": [{"kty": "oct", "k": b64(secret), "kid": "ec-1", "alg": "HS256"}]})

    assert wire.core.refused(forge(header(alg="HS256"), claims(iss=wire.issuer), secret))


def test_a_storm_of_made_up_key_ids_is_one_fetch(wire):
    wire.publish(jwks(EC))
    assert wire.ask() == 200
    wire.publish(jwks(EC))
    before = len(wire.server.asked)
    for number in range(50):
        token = make_token(head=header(kid=f"made-up-{number}"), iss=wire.issuer)
        wire.core.refused(token)

    assert len(wire.server.asked) - before <= 2  # metadata and keys, once


# -- the token itself --------------------------------------------------------------------


def test_a_token_too_long_to_be_one(core):
    assert core.refused(make_token(padding="x" * 8000)) == "too_long"


@pytest.mark.parametrize(
    "query", ["access_token={}", "a=1&access_token={}", "access%5ftoken={}", "jwt={}"]
)
def test_a_token_in_the_url(core, query):
    answer = core.client.get(f"/v1/models?{query.format(make_token(scope='ml.read'))}")

    assert answer.status_code == 400
    assert answer.get_json()["code"] == "credential_in_url"
    assert core.client.get(f"/healthz?{query.format(make_token())}").status_code == 400


def test_two_tokens_at_once(core):
    token = make_token(scope="ml.read")

    assert core.refused(f"{token}, Bearer {token}") == "no_credential"
    assert core.refused(f"{token},{token}") == "no_credential"


def test_a_refused_token_does_not_lend_its_place_to_a_good_one(core):
    """Nothing of what is cached is found by part of a token."""
    good = make_token(scope="ml.read")
    assert core.ask(good).status_code == 200
    head, payload, signature = good.split(".")

    assert core.refused(f"{head}.{payload}.{signature[:-4]}AAAA") == "signature"
    assert core.refused(f"{head}.{payload}.{signature}=") == "no_credential"  # no compact JWS
    assert core.refused(f"{head}.{payload}.") == "signature"
    assert core.ask(good).status_code == 200


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_change_of_any_letter_goes_unseen(core, data):
    """A property: one letter, anywhere, replaced, added or taken away."""
    token = make_token(scope="ml.read")
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_.=+/ "))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete"]))
    rest = token[place:] if kind == "insert" else token[place + 1 :]
    changed = token[:place] + ("" if kind == "delete" else letter) + rest
    if changed.strip(" ") == token:
        return

    assert core.ask(changed).status_code == 401


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    head=st.dictionaries(
        st.sampled_from(["typ", "alg", "kid", "crit", "jwk", "x"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
    ),
    words=st.dictionaries(
        st.sampled_from(
            ["iss", "aud", "sub", "exp", "iat", "nbf", "cnf", "scope", "client_id", "jti", "typ"]
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.lists(st.text()),
    ),
)
def test_no_shape_of_a_token_makes_the_application_fail(core, head, words):
    """A property: whatever is put into header and claims under a good signature, 401 or 403."""
    whole = {**claims(), **words}
    parts = [b64(json.dumps({**header(), **head})), b64(json.dumps(whole))]
    signature = sign(header(), whole, EC).split(".")[2]

    assert core.ask(".".join([*parts, signature])).status_code in (200, 401, 403)
    assert core.ask(sign(header(), whole, EC)).status_code in (200, 401, 403)
