"""Vault: one field of one secret, asked for as the table says and no other way."""

from __future__ import annotations

import json
import sys

import pytest

from secureml import ConfigError
from secureml.state.secrets import bounded_body
from secureml.state.secrets.vault import Vault, VaultOptions
from secureml.testing import Clock

CANARY = "correct-horse-battery"
TOKEN = "s.canary-of-the-login"
CREATED = "2026-01-01T00:00:00.123456789Z"


@pytest.fixture
def vault(stub, tmp_path, monkeypatch):
    """A vault over the stub, with the token in a file."""
    for name, text in (("token", TOKEN), ("role", "role-1"), ("secret-id", "canary-secret-id")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "of-somebody-else")
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_NAMESPACE", "elsewhere")

    def make(clock=None, **words):
        options = {"url": stub.url, "token": "file:token"} | words
        return Vault(VaultOptions(**options), tmp_path, clock or Clock(0.0))

    return make


def answer(**fields):
    return {"data": {"data": fields, "metadata": {"created_time": CREATED, "version": 1}}}


def refusal(vault, place="kv/edge#token"):
    with pytest.raises(ConfigError) as refused:
        vault.read(place)
    line = str(refused.value)
    assert CANARY not in line
    assert "canary" not in line
    assert refused.value.fix
    return line


def test_the_field_is_read_with_its_age(stub, vault):
    """By path, with our token and nobody's variables."""
    stub.says(answer(token=CANARY, other="x"))
    found = vault().read("kv/team/edge#token")

    assert found.secret.reveal() == CANARY.encode()
    assert found.changed == pytest.approx(1767225600.123456)
    method, path, headers, _ = stub.requests[0]
    assert (method, path) == ("GET", "/v1/kv/data/team/edge")
    assert headers["X-Vault-Token"] == TOKEN
    assert "X-Vault-Namespace" not in headers


def test_a_namespace_is_sent_where_it_is_set(stub, vault):
    """As Vault Enterprise and OpenBao have them."""
    stub.says(answer(token=CANARY))
    vault(namespace="team").read("kv/edge#token")

    assert stub.requests[0][2]["X-Vault-Namespace"] == "team"


def test_a_token_that_rotates_in_its_file_is_used_at_the_next_reading(stub, vault, tmp_path):
    """The login is a secret by reference itself."""
    stub.says(answer(token=CANARY))
    found = vault()
    found.read("kv/edge#token")
    (tmp_path / "token").write_text("s.next")
    found.read("kv/edge#token")

    assert [request[2]["X-Vault-Token"] for request in stub.requests] == [TOKEN, "s.next"]


@pytest.mark.parametrize(
    "place", ["kv#token", "kv/edge", "kv/edge#", "/edge#token", "kv/../sys#x", "kv/./a#x",
              "kv/a?version=1#x", "kv/a%2e#x", "kv//a#x", "kv/a#b#c", "kv/a\n#x", "kv/ä#x", ".."]
)  # fmt: skip
def test_attack_a_place_that_is_none_is_never_asked_for(stub, vault, place):
    """A path that climbs would read what nobody named."""
    assert "not a path in Vault" in refusal(vault(), place)
    assert stub.requests == []


@pytest.mark.parametrize(
    ("status", "says"),
    [(403, "denies reading kv/edge"), (401, "denies"), (404, "has no secret at kv/edge"),
     (400, "refused the request"), (500, "cannot be read"), (503, "cannot be read"),
     (429, "cannot be read"), (418, "cannot be read")],
)  # fmt: skip
def test_each_refusal_is_one_line_with_its_fix(stub, vault, status, says):
    """And nothing of what the server wrote, which may quote what it was sent."""
    stub.says({"errors": [f"you sent {CANARY}"]}, status)

    assert says in refusal(vault())


def test_attack_a_redirect_does_not_get_our_token(stub, vault):
    """Whoever answers for the vault could name any place."""
    stub.says(b"{}", 307, Location=f"{stub.url}/elsewhere")

    assert "cannot be read" in refusal(vault())
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"null", b'"x"', b"{}", b'{"data": null}', b'{"data": {"data": {}}}',
     json.dumps({"data": {"data": {"token": CANARY}, "metadata": {"created_time": "x"}}}).encode(),
     json.dumps({"data": {"token": CANARY}}).encode()],
)  # fmt: skip
def test_what_is_no_answer_of_kv_version_2_is_refused(stub, vault, body):
    """Version 1, a login page, a proxy."""
    stub.says(body)

    assert "cannot be read" in refusal(vault())


@pytest.mark.parametrize("value", [None, 7, "", {"a": CANARY}, [CANARY], True])
def test_a_field_that_holds_no_text_is_no_secret(stub, vault, value):
    """An empty secret would be one that anybody knows."""
    stub.says(answer(token=value))

    assert "no field 'token'" in refusal(vault())


def test_attack_an_answer_without_end_is_left_unread(stub, vault):
    """A manager is not trusted with our memory."""
    piece = b" " * 65536
    stub.answer = lambda *_: (200, {}, (piece for _ in range(100_000)))

    assert "BodyRefused" in refusal(vault())
    assert stub.hung_up.wait(5)


def test_attack_a_compressed_answer_is_not_unpacked(stub, vault):
    """Its size would be another one inside."""
    import gzip

    stub.says(gzip.compress(json.dumps(answer(token=CANARY)).encode()), Content_Encoding="gzip")

    assert "cannot be read" in refusal(vault())


def test_a_server_that_says_nothing_is_left(stub, vault, monkeypatch):
    """In three seconds; here in less."""
    import threading

    monkeypatch.setattr("secureml.state.secrets.vault.SILENCE", 0.05)
    go_on = threading.Event()
    stub.answer = lambda *_: (go_on.wait(5), (200, {}, []))[1]

    assert "ReadTimeout" in refusal(vault())
    go_on.set()
    assert bounded_body.SILENCE == 3.0


def test_a_server_that_is_not_there_is_told_by_kind(vault):
    """The address stays out of the line; it is in the settings."""
    assert "ConnectionError" in refusal(vault(url="http://127.0.0.1:1"))


def test_a_certificate_authority_that_is_missing_is_a_fault_of_settings(vault, tmp_path):
    """Not one of every certificate."""
    line = refusal(vault(url="https://127.0.0.1:1", ca_file=str(tmp_path / "no.pem")))

    assert "ca_file" in line


# -- AppRole ---------------------------------------------------------------------------------


@pytest.fixture
def approle(stub, vault):
    """A vault that logs in; the stub counts logins and believes the last token alone."""
    stub.logins, stub.revoked = 0, set()

    def reply(method, path, body):
        words = {"Content-Type": "application/json"}
        if path == "/v1/auth/approle/login":
            assert json.loads(body) == {"role_id": "role-1", "secret_id": "canary-secret-id"}
            stub.logins += 1
            auth = {"client_token": f"t{stub.logins}", "lease_duration": 100}
            return 200, words, [json.dumps({"auth": auth}).encode()]
        token = stub.requests[-1][2]["X-Vault-Token"]
        if token in stub.revoked:
            return 403, words, [b'{"errors": ["permission denied"]}']
        return 200, words, [json.dumps(answer(token=CANARY)).encode()]

    stub.answer = reply
    return lambda clock: vault(
        clock, auth="approle", token="", role_id="file:role", secret_id="file:secret-id"
    )


def test_one_login_serves_until_it_is_nearly_over(stub, approle):
    """A login for each reading would fill the vault with tokens."""
    clock = Clock(0.0)
    found = approle(clock)
    for _ in range(3):
        assert found.read("kv/edge#token").secret.reveal() == CANARY.encode()
    assert stub.logins == 1

    clock.advance(81)
    found.read("kv/edge#token")
    assert stub.logins == 2


def test_a_login_that_was_revoked_is_renewed_once(stub, approle):
    """What is then still forbidden, is."""
    found = approle(Clock(0.0))
    found.read("kv/edge#token")
    stub.revoked = {"t1"}
    assert found.read("kv/edge#token").secret.reveal() == CANARY.encode()
    assert stub.logins == 2

    stub.revoked = {"t2", "t3"}
    assert "denies" in refusal(found)
    assert stub.logins == 3


def test_a_login_that_is_no_login_is_refused(stub, vault):
    """Such as the answer of something else."""
    stub.says({"auth": None})
    words = {"token": "", "role_id": "file:role", "secret_id": "file:secret-id"}

    assert "cannot be read" in refusal(vault(auth="approle", **words))


# -- The library -------------------------------------------------------------------------------


def test_without_the_library_the_line_names_the_extra(vault, monkeypatch):
    """Only when a reference asks for it."""
    found = vault()
    monkeypatch.setitem(sys.modules, "hvac", None)

    line = refusal(found)
    assert "the extra vault" in line
    assert "script/extras vault" in line
