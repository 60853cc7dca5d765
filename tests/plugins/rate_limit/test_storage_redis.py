"""Over a real Redis, from one host and from two."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from burst import Burst
from conftest import Limited

STRATEGIES = ["fixed-window", "moving-window", "sliding-window-counter"]


def require(name, install):
    """Return a program's path; without it skip and name the cure, or fail when CI=true."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        missing = f"{name} is missing; {install}"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return path


class Redis:
    """A server of our own; ``within`` is what its command begins with."""

    def __init__(self, folder, *words, within=()):
        pytest.importorskip("redis", reason="pip install 'flask-limiter[redis]'")
        program = require("redis-server", "apt-get install redis-server")
        self.socket = folder / "redis.sock"
        self.url = f"redis+unix://{self.socket}"
        self._command = [
            *within, program, "--unixsocket", str(self.socket), "--dir", str(folder),
            "--save", "", "--daemonize", "no", *(words or ("--port", "0")),
        ]  # fmt: skip
        self.start()

    def start(self):
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            assert self.process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline
            select.select([], [], [], 0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def redis(tmp_path):
    found = Redis(tmp_path)
    yield found
    found.stop()


@pytest.fixture
def limited(tmp_path, redis):
    made = []

    def make(*limits, **table):
        table = {"limits": [*limits], "defaults": False, "redis": redis.url} | table
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Limited(folder, table))
        return made[-1]

    yield make
    for one in made:
        one.plugin.close()
        one.harness.store.close()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_instances_over_one_redis_share_a_limit(limited, strategy):
    """As two hosts would: no file is shared."""
    limit = {"for": "client", "allow": "5 per hour", "strategy": strategy}
    one, two = limited(limit), limited(limit)
    assert one.passed(3) + two.passed(3) == 5
    problem, headers = two.send()
    assert 0 < int(problem.headers["Retry-After"]) <= 2 * 3600 + 1
    assert headers["RateLimit"].startswith('"client";r=0;t=')


def test_a_budget_is_counted_there_as_well(limited):
    one, two = (
        limited({"for": "client", "allow": "4 ever"}),
        limited({"for": "client", "allow": "4 ever"}),
    )
    assert one.passed(3) + two.passed(3) == 4


def test_another_strategy_for_the_same_limit_finds_nothing_in_its_way(limited):
    """A list where a number is expected would fail until the window is over."""
    for strategy in STRATEGIES:
        one = limited({"for": "client", "allow": "2 per hour", "strategy": strategy})
        assert one.passed(4) == 2


def test_rows_that_do_not_fit_are_not_taken(limited):
    one = limited(
        {"for": "client", "allow": "100 per hour", "unit": "rows", "strategy": "fixed-window"}
    )
    assert one.send(rows=60)[0] is None
    assert one.send(rows=60)[0] is not None
    assert one.send(rows=40)[0] is None


@pytest.mark.parametrize(("handling", "passes"), [("refuse", 0), ("allow", 9), ("degrade", 2)])
def test_a_redis_that_goes_away_is_handled_as_the_limit_says_and_believed_when_back(
    limited, redis, handling, passes
):
    limit = {"for": "client", "allow": "20 per hour", "on_storage_failure": handling}
    one = limited(limit, degrade_divisor=10)
    assert one.passed(1) == 1
    redis.stop()
    begin = time.monotonic()
    assert one.passed(9) == passes
    assert time.monotonic() - begin < 5, "nobody waits for what is not there"
    redis.start()
    deadline = time.monotonic() + 20
    while one.plugin._limiter.is_failing() and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    select.select([], [], [], 1.1)  # it is left alone for a second
    assert one.passed(1) == 1
    assert one.plugin.ready() is None


def test_a_password_is_said_and_a_wrong_one_counts_nothing(tmp_path):
    server = Redis(tmp_path, "--port", "0", "--requirepass", "open-sesame")
    try:
        for word, passes in (("open-sesame", 2), ("guess", 0)):
            folder = tmp_path / word
            folder.mkdir()
            (folder / "secret").write_text(word)
            (folder / "secret").chmod(0o600)
            limit = {"for": "client", "allow": "2 per hour"}
            words = {"redis": server.url, "redis_password": "file:secret", "defaults": False}
            one = Limited(folder, {"limits": [limit], **words})
            assert one.passed(4) == passes, word
            one.harness.store.close()
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_burst_of_5000_over_redis_lets_exactly_1000_through(tmp_path, redis, strategy):
    burst = Burst(tmp_path, [redis.url] * 4, strategy, 1000)
    burst.go(5000)
    assert burst.end() == 1000


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_hosts_let_exactly_1000_through_and_a_killed_worker_changes_nothing(tmp_path, strategy):
    """Each host is a network namespace with an address of its own, and Redis stands in a third."""
    with ExitStack() as stack:
        server, *hosts = (namespace(stack, name) for name in ("s", "a", "b"))
        urls = [wire(server, host, number) for number, host in enumerate(hosts, 1)]
        words = ("--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no")
        redis = Redis(tmp_path, *words, within=["ip", "netns", "exec", server])
        stack.callback(redis.stop)
        within = [["ip", "netns", "exec", host] for host in hosts for _ in range(2)]
        addresses = [url for url in urls for _ in range(2)]
        burst = Burst(tmp_path, addresses, strategy, 1000, within)
        burst.go(10_000)
        burst.kill_in_the_middle(200)
        assert 1000 - 16 <= burst.end() <= 1000


def namespace(stack, name):
    """Make a network namespace, or skip with the kernel's own word."""
    require("ip", "apt-get install iproute2")
    full = f"sml{os.getpid()}{name}"
    done = subprocess.run(["ip", "netns", "add", full], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
    stack.callback(subprocess.run, ["ip", "netns", "del", full], check=True)
    return full


def wire(server, host, number):
    """Join a host to the server by a cable of its own; return the URL of Redis as it sees it."""
    near, far = f"10.203.{number}.1", f"10.203.{number}.2"
    cable = f"sml{number}"
    link = f"ip link add {cable} netns {server} type veth peer name eth0 netns {host}"
    for line in (
        link,
        f"ip -n {server} addr add {near}/24 dev {cable}",
        f"ip -n {server} link set {cable} up",
        f"ip -n {host} addr add {far}/24 dev eth0",
        f"ip -n {host} link set eth0 up",
    ):
        subprocess.run(line.split(), check=True)
    return f"redis://{near}:6379/0"
