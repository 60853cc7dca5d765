"""The token issuer: pairs are issued, verified, refreshed once and revoked."""

from __future__ import annotations

import pytest
from token_app import TokenApp, unpack

from plugins.jwt.families import FamilyEnded
from plugins.jwt.tokens import ACCESS, REFRESH
from secureml.kit.jwt_claims import InvalidToken
from secureml.kit.signing import SigningFault


@pytest.fixture
def issuer(core):
    """A token issuer inside its app."""
    with core.app.test_request_context():
        yield core.jwt._issuer


@pytest.fixture
def pair(issuer):
    """A pair of a client that may predict."""
    return issuer.issue("acme", scopes={"predict"}, origin="key-1")


def word(call, *facts):
    """Return why it was refused, or None."""
    try:
        call(*facts)
    except (InvalidToken, FamilyEnded) as refused:
        return refused.reason
    return None


def test_a_pair_says_who_may_do_what_until_when(core, issuer, pair):
    """And nothing of it shows in a log."""
    access, refresh = issuer.verify(pair.access, ACCESS), issuer.verify(pair.refresh, REFRESH)

    assert (access.client, access.scopes) == ("acme", {"predict"})
    assert (access.family, refresh.scopes) == (refresh.family, frozenset())
    assert (access.ends, refresh.ends) == (core.clock() + 900, core.clock() + 30 * 86400)
    assert (pair.expires_in, pair.refresh_expires_in) == (900, 30 * 86400)
    assert pair.access not in repr(pair)
    assert pair.refresh not in repr(pair)


def test_what_is_remembered_of_a_token_ends_with_its_key(core, issuer, pair):
    """A key that retires before the token does takes it along."""
    old = core.signing.active().kid
    core.signing.rotate()
    core.clock.advance(100)
    ends = core.signing.public(old).ends
    assert issuer.verify(pair.refresh, REFRESH).ends == min(ends, core.clock() - 100 + 30 * 86400)
    core.signing.retire(old)

    assert word(issuer.verify, pair.access, ACCESS) == "proof.InvalidTokenError"


def test_a_refresh_gives_new_ids_and_the_old_end(core, issuer, pair):
    """The access token is new, the end of it all is not."""
    core.clock.advance(60)
    second = issuer.refresh(issuer.verify(pair.refresh, REFRESH))

    assert second.refresh_expires_in == 30 * 86400 - 60
    first_ids, second_ids = (
        {unpack(text.split(".")[1])["jti"] for text in (found.access, found.refresh)}
        for found in (pair, second)
    )
    assert not first_ids & second_ids


def test_without_a_key_nothing_is_begun_and_nothing_used_up(core, issuer, pair):
    """The operator's gap costs no client its family."""
    verified = issuer.verify(pair.refresh, REFRESH)
    file = core.harness.folder / "keys" / "signing" / f"{core.signing.active().kid}.pem"
    text = file.read_bytes()
    file.unlink()
    core.signing._reread()
    for call in (
        lambda: issuer.issue("acme", scopes={"x"}, origin="k"),
        lambda: issuer.refresh(verified),
    ):
        with pytest.raises(SigningFault):
            call()
    file.write_bytes(text)
    file.chmod(0o600)

    assert len(core.jwt._families.list()) == 1
    assert issuer.refresh(verified).refresh


def test_revoking_takes_back_a_token_or_a_family(issuer, pair):
    """By what is shown."""
    issuer.revoke(pair.access)
    assert word(issuer.verify, pair.access, ACCESS) == "token_revoked"
    assert word(issuer.verify, pair.refresh, REFRESH) is None
    issuer.revoke(pair.refresh)

    assert word(issuer.verify, pair.refresh, REFRESH) == "family_revoked"


def test_only_a_token_that_holds_can_be_revoked(core, issuer, pair):
    """Else a stranger could end what he cannot use."""
    forged = core.forge(pair.refresh, header={"kid": "A" * 43})

    assert word(issuer.revoke, forged) == "proof.InvalidTokenError"
    assert word(issuer.verify, pair.refresh, REFRESH) is None


def test_a_token_is_foreign_by_its_own_word_alone(core, issuer, pair):
    """Which is enough to send it away, and for nothing else."""
    assert issuer.verify_ours(pair.access).client == "acme"
    other = core.forge(pair.access, claims={"iss": "https://other.example"})
    assert issuer.verify_ours(other) is None
    assert word(issuer.verify_ours, core.forge(pair.access, drop=["iss"])) == "missing_iss"
    assert word(issuer.verify_ours, core.forge(pair.access, claims={"iss": 1})) == "iss"
    assert word(issuer.verify_ours, "a.b.c") == "shape"
    assert word(issuer.verify_ours, pair.refresh) == "typ"


def test_a_token_of_another_clients_family_is_refused(core, issuer, pair):
    """Only someone with our key could write it, and it still would not do."""
    core.harness.clients.add("other")
    forged = core.forge(pair.access, claims={"sub": "other", "client_id": "other"})

    assert word(issuer.verify, forged, ACCESS) == "not_of_its_family"


def test_a_key_that_retires_while_it_is_asked_is_refused(issuer, pair):
    """Between the signature and the rules."""
    claims = unpack(pair.access.split(".")[1])
    header = {"alg": "ES256", "kid": "A" * 43, "typ": "at+jwt"}

    assert word(issuer._load, header, claims) == "key_retired"


def test_an_access_token_does_not_outlive_its_family(tmp_path):
    """Where the refresh lifetime is the shorter one."""
    core = TokenApp(tmp_path, refresh_lifetime="60s")
    pair = core.pair()

    assert (pair["expires_in"], pair["refresh_expires_in"]) == (60, 60)
