"""Two hosts as docs/hosts.md has them: what they share, and what happens when a part of it fails.

Times are measured from when a change was committed or a part had ended, by one clock.
"""

from __future__ import annotations

import csv
import os
import signal
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from live_hosts import (
    CALLERS,
    DATA,
    FRONT,
    ONE,
    STRANGER,
    TWO,
    Callers,
    Front,
    Host,
    Redis,
    after,
)
from live_network import Network
from live_serving import until

from plugins.api_keys.keyring import Keyring
from secureml.state.clients import Clients
from secureml.state.store import Store
from tests.postgresql_server import FOUND, MISSING, PostgresqlServer

pytestmark = [pytest.mark.live, pytest.mark.slow]
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Cluster:
    """Everything that runs, and what a test asks of it."""

    def __init__(self, folder: Path, stack: ExitStack, tool, table: Path) -> None:
        nginx = tool("nginx", "apt-get install nginx-light")
        network = stack.enter_context(closing(Network()))
        places = (FRONT, ONE, TWO, DATA, CALLERS, STRANGER)
        self.members = {place: network.join(place) for place in places}
        pg = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-")))
        self.postgresql = PostgresqlServer(pg, inside=self.members[DATA].inside, address=DATA)
        stack.callback(self.postgresql.stop)
        self.redis = Redis(
            folder / "redis", self.members[DATA],
            tool("redis-server", "apt-get install redis-server"),
        )  # fmt: skip
        self.redis.start()
        stack.callback(self.redis.stop)
        self.one = Host(folder / "one", ONE, self.members[ONE], nginx)
        self.two = Host(folder / "two", TWO, self.members[TWO], nginx)
        self.front = Front(folder / "front", self.members[FRONT], nginx)
        self._stack = stack
        with table.open(encoding="utf-8", newline="") as file:
            self._row = [float(cell) for cell in list(csv.reader(file))[1][:-1]]
        # The tests' own way to the store, over the unix socket.
        self.store = stack.enter_context(closing(Store(self.postgresql.url)))

    def start(self, model: Path, table: Path) -> None:
        self.one.make()
        seal = f"models seal {model} --name breast-cancer --data {table} --target target"
        for _ in range(2):  # the first stands ready, to be put into use again
            self.one.run(*seal.split())
        self.two.make(self.one)
        for part in (self.one, self.two, self.front):
            part.start()
            self._stack.callback(part.stop)

    @property
    def hosts(self) -> tuple[Host, Host]:
        return self.one, self.two

    def key(self, client: str) -> tuple[str, str]:
        """Add a client and return its key and the key's id."""
        Clients(self.store, time.time).add(client)
        key, record = Keyring(self.store, time.time).issue(client, lifetime=None)
        return key.text, record.id

    def callers(self, key: str, *, stranger: bool = False, **words) -> Callers:
        member = self.members[STRANGER if stranger else CALLERS]
        row = words.pop("row", self._row)
        return Callers(member, self.one.instance / "tls/ca.crt", key, row, **words)

    @contextmanager
    def load(self, key: str, **words):
        """Have callers ask until the block ends; both hosts answer when it begins."""
        callers = self.callers(key, **words)
        try:
            assert callers.saw(200, times=20), callers.records[-5:]
            yield callers
        finally:
            callers.finish()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, tool, package, demo_files):
    pytest.importorskip("psycopg", reason="pip install psycopg[binary]")
    if os.geteuid() != 0:
        pytest.skip("network namespaces and PostgreSQL's user need root")
    if not FOUND:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    package(STREAM, "apt-get install libnginx-mod-stream")
    with ExitStack() as stack:
        made = Cluster(tmp_path_factory.mktemp("hosts"), stack, tool, demo_files[1])
        made.start(*demo_files)
        yield made


def statuses(records) -> dict[int, int]:
    found: dict[int, int] = {}
    for record in records:
        found[record[3]] = found.get(record[3], 0) + 1
    return found


def both_answer(cluster, client: str) -> bool:
    """Tell whether each host has answered a client, or does so in time."""
    return until(lambda: all(host.lines(client) for host in cluster.hosts), 30)


def test_a_limit_is_exact_over_both_hosts(cluster):
    key, _ = cluster.key("counted")
    records = cluster.callers(key, callers=6, count=70).finish()

    assert statuses(records) == {200: 40, 429: 30}
    shares = [len(host.lines("counted")) for host in cluster.hosts]
    assert sum(shares) == 70
    assert min(shares) > 0


def test_attack_a_forged_address_is_not_used(cluster):
    """Neither in a header through the front host, nor in what only the front host may say."""
    key, _ = cluster.key("stranger")
    forged = {
        "X-Forwarded-For": "192.0.2.7",
        "X-Real-IP": "192.0.2.7",
        "Forwarded": "for=192.0.2.7",
    }
    for words in (
        {"headers": forged},
        {"address": ONE, "preface": "PROXY TCP4 192.0.2.7 10.77.0.11 4711 443\r\n"},
    ):
        records = cluster.callers(key, stranger=True, callers=1, count=1, **words).finish()
        assert statuses(records) == {200: 1}
    lines = [line for host in cluster.hosts for line in host.lines("stranger")]

    assert [line["address"] for line in lines] == [STRANGER, STRANGER]


def test_without_the_front_hosts_words_nothing_is_answered(cluster):
    """The address for the front host takes no other connection."""
    key, _ = cluster.key("direct")
    records = cluster.callers(key, callers=1, count=1, address=ONE).finish()

    assert statuses(records) == {0: 1}


def test_a_revocation_on_one_host_arrives_at_both_within_a_second(cluster):
    key, key_id = cluster.key("revoked")
    with cluster.load(key) as callers:
        assert both_answer(cluster, "revoked")
        committed = after(lambda: Keyring(cluster.store, time.time).revoke(key_id))
        assert until(lambda: set(callers.last().values()) == {401}, 30)
    latest = max(record[1] for record in callers.records if record[3] == 200)
    print(f"revoked everywhere after {latest - committed:.3f} s")

    assert latest - committed < 1.0
    assert set(statuses(callers.records)) == {200, 401}


def test_a_version_put_into_use_on_one_host_answers_on_both(cluster):
    """The folder of models is shared; the command waits for the workers of both hosts."""
    key, _ = cluster.key("versions")
    with cluster.load(key) as callers:
        assert both_answer(cluster, "versions")
        before = callers.records[-1][4]
        wanted = "1" if before == "2" else "2"
        done = after(lambda: cluster.one.run("models", "use", "breast-cancer", wanted))
        assert callers.saw(200, after=done, times=40)
    found = {record[4] for record in callers.since(done)}

    assert (before, found) == ("2" if wanted == "1" else "1", {wanted})
    assert statuses(callers.records) == {200: len(callers.records)}


def takes_part(cluster, key: str, client: str) -> bool:
    """Ask twelve times over new connections; tell whether the second host answers some of them."""
    asked = statuses(cluster.callers(key, callers=6, count=12).finish())
    return asked == {200: 12} and bool(cluster.two.lines(client))


def test_a_host_that_is_killed_fails_what_it_was_answering_and_nothing_else(cluster):
    """No request is made a second time: each is one line at most, over both hosts."""
    key, _ = cluster.key("killed")
    later, _ = cluster.key("later")
    with cluster.load(key, callers=6) as callers:
        assert both_answer(cluster, "killed")
        cluster.two.kill()
        killed = time.monotonic()
        assert callers.saw(200, after=killed, times=60)
        cluster.two.start()
        back = time.monotonic()
        # Who connects now is given the host that has the fewest, once it is tried again.
        assert until(lambda: takes_part(cluster, later, "later"), 60)
        assert callers.saw(200, after=back, times=20)
    failed = [record for record in callers.records if record[3] != 200]
    print(f"killed: {len(failed)} of {len(callers.records)} failed: {failed}")

    assert {record[3] for record in failed} <= {0}
    assert len({record[0] for record in failed}) == len(failed)  # what each had under way
    made = sum(len(host.lines("killed")) for host in cluster.hosts)
    assert len(callers.records) - len(failed) <= made <= len(callers.records)


def test_a_host_that_loses_the_network_gets_no_new_connection(cluster):
    """Nothing says that it is gone: who connects waits a second, and is answered by the other."""
    key, _ = cluster.key("unplugged")
    cluster.members[TWO].ip("link set eth0 down")
    try:
        records = cluster.callers(key, callers=6, count=30).finish()
    finally:
        cluster.members[TWO].ip("link set eth0 up")
    assert statuses(records) == {200: 30}
    assert cluster.two.lines("unplugged") == []
    assert until(lambda: takes_part(cluster, key, "unplugged"), 60)


def test_without_redis_each_limit_does_what_it_says_and_counts_on_afterwards(cluster):
    """``refuse`` refuses, the default limits count in each process, and nothing counted is lost."""
    kept, _ = cluster.key("kept")
    strict, _ = cluster.key("strict")
    usual, _ = cluster.key("usual")
    assert statuses(cluster.callers(kept, callers=1, count=5).finish()) == {200: 5}
    with cluster.load(strict, callers=2) as refused, cluster.load(usual, callers=1) as counted:
        down = after(cluster.redis.stop)
        assert refused.saw(503, after=down, times=10)
        assert counted.saw(200, after=down, times=20)
        ended = time.monotonic()
        up = after(cluster.redis.start)
        assert refused.saw(200, after=up, times=10)
    assert set(statuses(refused.records)) == {200, 503}
    assert not [r for r in refused.since(down) if r[3] == 200 and r[2] < ended]
    assert set(statuses(counted.records)) <= {200, 429}
    assert statuses(cluster.callers(kept, callers=1, count=1).finish()) == {429: 1}


def test_without_postgresql_every_guarded_request_is_refused_until_it_is_back(cluster):
    """Within the half second for which an answer of the database counts; no worker is replaced."""
    key, _ = cluster.key("stopped")
    workers = [host.workers() for host in cluster.hosts]
    with cluster.load(key) as callers:
        assert both_answer(cluster, "stopped")
        down = after(cluster.postgresql.stop)
        assert until(lambda: set(callers.last().values()) == {503}, 30)
        assert callers.saw(503, after=down, times=20)
        ended = time.monotonic()
        cluster.postgresql.start()
        assert until(lambda: set(callers.last().values()) == {200}, 30)
    answers = [record for record in callers.since(down) if record[3] == 200 and record[2] < ended]
    print(
        f"stopped: last answer began {max([r[1] - down for r in answers], default=0):.3f} s after"
    )

    assert set(statuses(callers.records)) == {200, 503}
    assert all(record[1] - down < 1.0 for record in answers)
    assert [host.workers() for host in cluster.hosts] == workers


def test_a_postgresql_that_is_held_still_holds_no_request_for_long(cluster):
    """It confirms what it is sent and answers nothing, as when its disk hangs."""
    key, _ = cluster.key("held")
    with cluster.load(key) as callers:
        assert both_answer(cluster, "held")
        held = cluster.postgresql.freeze()
        down = time.monotonic()
        try:
            assert until(lambda: set(callers.last().values()) == {503}, 60)
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        up = time.monotonic()
        assert until(lambda: set(callers.last().values()) == {200}, 60)
    waited = [record[2] - record[1] for record in callers.since(down) if record[2] < up]
    print(f"held still: a request waited {max(waited):.1f} s at most")

    assert set(statuses(callers.records)) == {200, 503}


def test_the_audit_logs_of_both_hosts_are_whole_and_are_two(cluster):
    """Each with a key of its own: who has that of one host cannot write the other's records."""
    key, _ = cluster.key("audited")
    refused = cluster.callers(key, callers=6, count=12, row=[0.0]).finish()
    assert statuses(refused) == {422: 12}
    for host in cluster.hosts:
        assert host.run("audit-log", "verify")["ok"]
    shown = [host.run("audit-log", "show", "--client", "audited") for host in cluster.hosts]
    one, two = ((host.instance / "keys/audit.key").read_bytes() for host in cluster.hosts)

    assert sum(map(len, shown)) == 12
    assert min(map(len, shown)) > 0
    assert one != two


def test_the_front_host_logs_which_host_answered_and_for_whom(cluster):
    key, _ = cluster.key("logged")
    cluster.callers(key, stranger=True, callers=1, count=1).finish()

    assert until(lambda: any(line["client"] == STRANGER for line in cluster.front.connections()))
    line = next(line for line in cluster.front.connections() if line["client"] == STRANGER)
    assert line["host"].partition(",")[0] in (f"{ONE}:443", f"{TWO}:443")
    assert datetime.fromisoformat(line["time"])
