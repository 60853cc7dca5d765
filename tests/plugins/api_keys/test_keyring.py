"""The ring: who holds which key until when, and every worker knows at its next request."""

from __future__ import annotations

import hmac
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from plugins.api_keys import keyring as ring_module
from plugins.api_keys.key import new_key
from plugins.api_keys.keyring import KeyFault, Keyring
from secureml import Store, StoreUnavailable
from secureml.testing import Clock

ROOT = Path(__file__).parents[3]
DAY = 86400.0
# A second worker: finds what it is told on each line, until its input ends.
WORKER = """
import sys, time
from plugins.api_keys.keyring import Keyring
from secureml import Store
ring = Keyring(Store(sys.argv[1]), lambda: float(sys.argv[2]))
for line in sys.stdin:
    print(ring.find(line.strip())[1], flush=True)
"""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'secureml.db'}"


@pytest.fixture
def store(url):
    with closing(Store(url)) as found:
        yield found


@pytest.fixture
def keyring(store, clock):
    return Keyring(store, clock)


@pytest.fixture
def worker(store, keyring, url, clock):
    """Another process with a ring of its own; call it with a key for the state it finds."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, url, str(clock())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    def find(text):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    yield find
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


class Counted:
    """The store, and how often it was read."""

    def __init__(self, store):
        self._store, self.reads = store, 0

    def __getattr__(self, name):
        self.reads += name == "read"
        return getattr(self._store, name)


def same_id(first, second):
    """Return a random source whose two keys share the id and differ in the secret."""
    secrets = iter((first, second))
    return lambda count: bytes(16) if count == 16 else next(secrets)


def test_a_key_is_found_with_what_it_was_issued_for(keyring, clock):
    key, record = keyring.issue("acme", lifetime=DAY, scopes=["predict"])
    found, state = keyring.find(key.text)
    assert (found, state) == (record, "active")
    assert (found.client, found.scopes) == ("acme", {"predict"})
    assert (found.created, found.expires, found.revoked) == (clock(), clock() + DAY, None)


def test_no_scopes_are_all_of_the_clients_and_an_empty_list_is_none_at_all(keyring):
    assert keyring.issue("acme", lifetime=None)[1].scopes is None
    key, _ = keyring.issue("acme", lifetime=None, scopes=[])
    assert keyring.find(key.text)[0].scopes == frozenset()


def test_a_key_ends_at_its_second_also_where_it_is_cached(keyring, clock):
    key, _ = keyring.issue("acme", lifetime=DAY)
    clock.advance(DAY - 0.001)
    assert keyring.find(key.text)[1] == "active"
    clock.advance(0.001)
    assert keyring.find(key.text)[1] == "expired"


def test_a_key_without_an_end_has_none(keyring, clock):
    key, _ = keyring.issue("acme", lifetime=None)
    clock.advance(50 * 365 * DAY)
    assert keyring.find(key.text)[1] == "active"


def test_attack_the_right_id_with_another_secret_is_as_unknown_as_no_id(store, clock, monkeypatch):
    """Both misses compare in constant time, the one without a record as well."""
    keyring = Keyring(store, clock, same_id(b"a" * 32, b"b" * 32))
    key, _ = keyring.issue("acme", lifetime=None)
    forged = new_key(same_id(b"c" * 32, b""))
    stranger = new_key(os.urandom)
    assert forged.id == key.id
    compared, compare = [], hmac.compare_digest

    def watched(*digests):
        compared.append(digests)
        return compare(*digests)

    monkeypatch.setattr(ring_module.hmac, "compare_digest", watched)
    assert keyring.find(forged.text) == keyring.find(stranger.text) == (None, "unknown")
    assert [len(digest) for pair in compared for digest in pair] == [64] * 4


@pytest.mark.parametrize("text", ["", "sml_", "x" * 66, "sml_" + "a" * 12 + "_" + "a" * 49, "é"])
def test_what_is_no_key_is_told_without_asking_the_store(tmp_path, clock, text):
    keyring = Keyring(Store(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}"), clock)
    assert keyring.find(text) == (None, "malformed")


def test_attack_whoever_steals_the_database_has_no_key(keyring, store, tmp_path):
    """Neither the text nor its secret half is in a byte of any file, only the digest."""
    made = [keyring.issue("acme", lifetime=DAY)[0] for _ in range(3)]
    made.append(keyring.rotate(made[0].id, overlap=60)[0])
    keyring.revoke(made[1].id)
    for key in made:
        keyring.find(key.text)
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    store.close()
    files += [path.read_bytes() for path in tmp_path.iterdir()]
    assert len(files) >= 3
    for key in made:
        assert not any(key.text.encode() in data for data in files)
        assert not any(key.text[17:60].encode() in data for data in files)
        assert any(key.digest().encode() in data for data in files)


def test_the_list_holds_no_secret_and_keeps_the_order(keyring, clock):
    first, _ = keyring.issue("b", lifetime=None)
    clock.advance(1)
    second, _ = keyring.issue("a", lifetime=None)
    assert [record.id for record in keyring.list()] == [first.id, second.id]
    assert [record.id for record in keyring.list("a")] == [second.id]
    assert keyring.list("c") == []
    for key in (first, second):
        assert key.text[17:] not in repr(keyring.list())


def test_a_found_key_is_not_asked_for_again_until_one_changed(store, clock):
    counted = Counted(store)
    keyring = Keyring(counted, clock)
    key, _ = keyring.issue("acme", lifetime=None)
    for _ in range(3):
        keyring.find(key.text)
    assert counted.reads == 1
    keyring.issue("other", lifetime=None)
    keyring.find(key.text)
    assert counted.reads == 2


def test_a_key_that_was_asked_for_too_early_is_found_once_it_is_there(store, clock):
    keyring = Keyring(store, clock, same_id(b"a" * 32, b""))
    key = new_key(same_id(b"a" * 32, b""))
    assert keyring.find(key.text)[1] == "unknown"
    keyring.issue("acme", lifetime=None)
    assert keyring.find(key.text)[1] == "active"


def test_attack_made_up_ids_do_not_fill_the_memory(keyring, monkeypatch):
    monkeypatch.setattr(ring_module, "CACHE_SIZE", 8)
    key, _ = keyring.issue("acme", lifetime=None)
    for _ in range(30):
        assert keyring.find(new_key(os.urandom).text)[1] == "unknown"
        assert len(keyring._cache[1]) <= 8
    assert keyring.find(key.text)[1] == "active"


def test_a_store_that_cannot_be_asked_lets_nobody_in(keyring, tmp_path):
    key, _ = keyring.issue("acme", lifetime=None)
    assert keyring.find(key.text)[1] == "active"
    (tmp_path / "secureml.db").unlink()
    with pytest.raises(StoreUnavailable):
        keyring.find(key.text)


def test_a_revoked_key_is_refused_at_once_and_stays_revoked(keyring, clock):
    key, _ = keyring.issue("acme", lifetime=None)
    keyring.find(key.text)
    revoked = keyring.revoke(key.id)
    assert keyring.find(key.text)[1] == "revoked"
    clock.advance(60)
    assert keyring.revoke(key.id) == revoked


def test_a_revocation_is_seen_by_another_process_at_its_next_request(keyring, worker):
    key, _ = keyring.issue("acme", lifetime=None)
    assert [worker(key.text), worker(key.text)] == ["active", "active"]
    keyring.revoke(key.id)
    assert worker(key.text) == "revoked"


def test_a_rotation_is_seen_by_another_process_at_its_next_request(keyring, worker):
    old, _ = keyring.issue("acme", lifetime=None)
    assert worker(old.text) == "active"
    new, _ = keyring.rotate(old.id, overlap=0)
    assert [worker(old.text), worker(new.text)] == ["expired", "active"]


def test_a_rotated_key_goes_on_for_the_overlap_beside_its_successor(keyring, clock):
    old, was = keyring.issue("acme", lifetime=30 * DAY, scopes=["predict"])
    clock.advance(DAY)
    new, record = keyring.rotate(old.id, overlap=3600)
    assert (record.client, record.scopes) == (was.client, was.scopes)
    assert record.expires == clock() + 30 * DAY
    assert keyring.find(old.text)[0].successor == new.id
    clock.advance(3599)
    assert (keyring.find(old.text)[1], keyring.find(new.text)[1]) == ("active", "active")
    clock.advance(1)
    assert (keyring.find(old.text)[1], keyring.find(new.text)[1]) == ("expired", "active")


def test_an_overlap_never_lengthens_a_key(keyring, clock):
    old, record = keyring.issue("acme", lifetime=600)
    keyring.rotate(old.id, overlap=DAY)
    assert keyring.find(old.text)[0].expires == record.expires


@pytest.mark.parametrize("fate", ["revoked", "expired", "rotated", "unknown"])
def test_what_is_not_in_use_is_not_rotated(keyring, clock, fate):
    key, _ = keyring.issue("acme", lifetime=DAY)
    key_id = key.id
    match fate:
        case "revoked":
            keyring.revoke(key_id)
        case "expired":
            clock.advance(DAY)
        case "rotated":
            keyring.rotate(key_id, overlap=3600)
        case "unknown":
            key_id = "x" * 12
    before = keyring.list()
    with pytest.raises(KeyFault) as fault:
        keyring.rotate(key_id, overlap=60)
    assert fate in str(fault.value) or "no key" in str(fault.value)
    assert "\n" not in str(fault.value)
    assert keyring.list() == before


def test_an_unknown_key_is_not_revoked(keyring):
    with pytest.raises(KeyFault, match="no key"):
        keyring.revoke("x" * 12)


def test_a_rotation_that_fails_half_way_did_not_happen(store, keyring, clock):
    key, record = keyring.issue("acme", lifetime=None)

    def broken(count):
        raise RuntimeError("no randomness")

    with pytest.raises(RuntimeError):
        Keyring(store, clock, broken).rotate(key.id, overlap=0)
    assert keyring.list() == [record]
    assert keyring.find(key.text)[1] == "active"


def together(*work):
    """Run each at the same moment in a thread of its own; return what they gave or raised."""
    start, found = threading.Barrier(len(work)), [None] * len(work)

    def run(place, task):
        start.wait(20)
        try:
            found[place] = task()
        except KeyFault as fault:
            found[place] = fault

    threads = [threading.Thread(target=run, args=item) for item in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def test_of_several_rotations_at_once_one_makes_a_key(url, clock):
    """Each with a store of its own, as several commands would be."""
    with closing(Store(url)) as store:
        keyring = Keyring(store, clock)
        key, _ = keyring.issue("acme", lifetime=None)
        rivals = [Store(url) for _ in range(4)]
        rings = [Keyring(rival, clock) for rival in rivals]
        found = together(*(lambda r=r: r.rotate(key.id, overlap=60) for r in rings))
        assert sum(isinstance(item, KeyFault) for item in found) == 3
        assert len(keyring.list()) == 2
        for rival in rivals:
            rival.close()


def test_a_revocation_beside_a_rotation_always_holds(url, clock):
    """Whichever is first, the old key is dead afterwards."""
    with closing(Store(url)) as store, closing(Store(url)) as other:
        keyring, rival = Keyring(store, clock), Keyring(other, clock)
        for _ in range(10):
            key, _ = keyring.issue("acme", lifetime=None)
            rotated, revoked = together(
                lambda key=key: rival.rotate(key.id, overlap=DAY),
                lambda key=key: keyring.revoke(key.id),
            )
            assert revoked.revoked is not None
            assert keyring.find(key.text)[1] == rival.find(key.text)[1] == "revoked"
            if isinstance(rotated, KeyFault):
                assert "revoked" in str(rotated)
            else:
                assert keyring.find(rotated[0].text)[1] == "active"


def test_a_key_is_never_found_after_its_revocation_returned(keyring):
    """Finders run beside the revocation; what they start after it sees it."""
    key, _ = keyring.issue("acme", lifetime=None)
    done, wrong = threading.Event(), []

    def find():
        while True:
            was_done = done.is_set()
            state = keyring.find(key.text)[1]
            if was_done:
                wrong.extend([state] * (state != "revoked"))
                return

    finders = [threading.Thread(target=find) for _ in range(4)]
    for finder in finders:
        finder.start()
    keyring.revoke(key.id)
    done.set()
    for finder in finders:
        finder.join(20)
    assert wrong == []
