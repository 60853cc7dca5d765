"""The signing key ring: one key signs, the one before verifies, a retired one is not believed."""

from __future__ import annotations

import stat

import pytest

from secureml.state.signing import Schedule, SigningFault, SigningKeys
from secureml.state.store import Store, StoreUnavailable
from secureml.testing import Clock

DAY = 86400.0


class Site:
    """One instance folder; each ring over it is a worker of its own."""

    def __init__(self, folder):
        self.folder, self.clock = folder / "keys" / "signing", Clock()
        self.url = f"sqlite:///{folder / 'secureml.db'}"
        self.stores = []

    def worker(self, **schedule):
        """Return a ring with its own store, as another process has."""
        self.stores.append(Store(self.url))
        return SigningKeys(self.stores[-1], self.folder, self.clock, Schedule(**schedule))


@pytest.fixture
def site(tmp_path):
    """An empty site, closed afterwards."""
    made = Site(tmp_path)
    yield made
    for store in made.stores:
        store.close()


def states(ring, clock):
    """Return kid to state."""
    return {record.kid: record.state(clock()) for record in ring.list()}


def test_nothing_is_opened_by_the_constructor(site, tmp_path):
    """Gunicorn forks after it."""
    site.worker()

    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_open_already_gets_the_table_too(site):
    """As in a test that added a client first."""
    site.worker()
    site.stores[0].version("clients")

    assert SigningKeys(site.stores[0], site.folder, site.clock).rotate().kid


def test_without_a_key_there_is_a_word_for_it(site):
    """And the command that mends it."""
    ring = site.worker()
    with pytest.raises(SigningFault, match="signing-keys rotate"):
        ring.active()
    assert ring.jwks() == {"keys": []}
    assert ring.due()
    assert ring.warnings() == []


def test_a_ring_says_why_nothing_can_be_signed(site, monkeypatch):
    """And nothing once something can."""
    ring = site.worker()
    assert ring.ready() == "no_signing_key"
    ring.rotate()
    assert ring.ready() is None

    def away(*_words, **_more):
        raise StoreUnavailable

    monkeypatch.setattr(site.stores[-1], "version", away)
    monkeypatch.setattr(site.stores[-1], "versions", away)
    assert ring.ready() == "store_unavailable"


def test_the_first_key_signs_and_verifies(site):
    """Its file is ours alone."""
    ring = site.worker()
    made = ring.rotate()
    active = ring.active()

    assert active.kid == made.kid
    assert active.algorithm == "ES256"
    assert ring.public(made.kid).key == active.private.public_key()
    assert [key["kid"] for key in ring.jwks()["keys"]] == [made.kid]
    (file,) = site.folder.iterdir()
    assert file.name == f"{made.kid}.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(site.folder.stat().st_mode) == 0o700


def test_the_setting_says_the_algorithm_and_a_word_overrides_it(site):
    """Old and new algorithm verify side by side."""
    ring = site.worker(algorithm="EdDSA")
    first, second = ring.rotate(), ring.rotate("ES256")

    assert [ring.public(record.kid).algorithm for record in (first, second)] == ["EdDSA", "ES256"]


def test_a_rotation_leaves_the_old_key_verifying_and_destroys_its_private_half(site):
    """A private half that signs no more can only be stolen."""
    ring = site.worker()
    old, new = ring.rotate(), ring.rotate()

    assert states(ring, site.clock) == {old.kid: "retiring", new.kid: "active"}
    assert ring.active().kid == new.kid
    assert ring.public(old.kid) is not None
    assert len(ring.jwks()["keys"]) == 2
    assert [file.stem for file in site.folder.iterdir()] == [new.kid]


def test_a_retiring_key_verifies_until_its_tokens_have_expired(site):
    """At that very second it is retired, without anyone doing anything."""
    ring = site.worker(retire_after=30 * DAY)
    old, new = ring.rotate(), ring.rotate()
    assert ring.public(old.kid).ends == site.clock() + 30 * DAY
    site.clock.advance(30 * DAY - 1)
    assert ring.public(old.kid) is not None
    site.clock.advance(1)

    assert ring.public(old.kid) is None
    assert states(ring, site.clock)[old.kid] == "retired"
    assert [key["kid"] for key in ring.jwks()["keys"]] == [new.kid]


def test_a_key_retired_by_hand_is_refused_by_every_worker_at_once(site):
    """Each had it cached."""
    operator, *workers = site.worker(), site.worker(), site.worker()
    old = operator.rotate()
    new = operator.rotate()
    assert all(ring.public(old.kid) and ring.active().kid == new.kid for ring in workers)

    operator.retire(old.kid)

    assert all(ring.public(old.kid) is None for ring in workers)
    assert all(ring.public(new.kid) for ring in workers)


def test_retiring_the_active_key_makes_its_successor_first(site):
    """An emergency must not end the service; and the stolen key is gone from the disk."""
    operator, worker = site.worker(), site.worker()
    stolen = operator.rotate("EdDSA")
    assert worker.active().kid == stolen.kid

    operator.retire(stolen.kid)

    assert worker.public(stolen.kid) is None
    assert worker.active().kid != stolen.kid
    assert worker.active().algorithm == "EdDSA"
    assert [file.stem for file in site.folder.iterdir()] == [worker.active().kid]


def test_retiring_twice_keeps_the_first_moment(site):
    """It is a record."""
    ring = site.worker()
    old = ring.rotate()
    ring.rotate()
    first = ring.retire(old.kid)
    site.clock.advance(5)

    assert ring.retire(old.kid) == first


@pytest.mark.parametrize("kid", ["", "x", "../../secureml", "' OR 1=1 --", "A" * 43])
def test_attack_a_key_id_of_the_callers_choice_is_unknown(site, kid, tmp_path):
    """It is looked up among the ids we have, never as a path or as part of a query."""
    ring = site.worker()
    ring.rotate()
    before = sorted(tmp_path.rglob("*"))

    assert ring.public(kid) is None
    with pytest.raises(SigningFault):
        ring.retire(kid)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.chmod(0o640),
        lambda file: file.write_bytes(b"not a key"),
        lambda file: file.write_bytes(b""),
    ],
)
def test_a_key_file_that_cannot_be_trusted_signs_nothing(site, spoil):
    """It verifies on: the public half is in the store. The operator is told."""
    ring = site.worker()
    kid = ring.rotate().kid
    spoil(site.folder / f"{kid}.pem")
    fresh = site.worker()

    with pytest.raises(SigningFault, match=kid):
        fresh.active()
    assert fresh.public(kid) is not None
    assert kid in fresh.warnings()[0]


def test_a_key_is_due_at_its_age(site):
    """For the timer, and for `secureml check`."""
    ring = site.worker(rotate_after=90 * DAY)
    kid = ring.rotate().kid
    site.clock.advance(90 * DAY - 1)
    assert not ring.due()
    assert ring.warnings() == []
    site.clock.advance(1)

    assert ring.due()
    assert ring.warnings() == [
        f"the signing key {kid} is 90 days old; fix: secureml signing-keys rotate"
    ]


def test_a_rotation_that_is_not_recorded_leaves_no_file(site):
    """A key that nobody knows of would be a secret without an owner."""
    ring = site.worker()
    ring.rotate()
    with ring._store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE signing_keys")
    before = sorted(site.folder.iterdir())

    with pytest.raises(Exception, match="store"):
        ring.rotate()
    assert sorted(site.folder.iterdir()) == before
