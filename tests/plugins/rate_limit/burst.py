"""Many processes with many threads at one counter, as the workers of Gunicorn are."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
# The clock is the system's: no window ends while a test runs, and none before 2070.
YEARS = 50


def worker(url: str, strategy: str, limit: int, threads: int) -> None:
    """Hit one key from many threads, as often as stdin says, and print how many passed."""
    from limits import RateLimitItemPerYear
    from limits.storage import storage_from_string
    from limits.strategies import STRATEGIES

    import plugins.rate_limit.sqlite_storage  # noqa: F401 - registers the scheme

    words = {"timeout": 30.0} if url.startswith("sqlite") else {}
    strategy_of = STRATEGIES[strategy](storage_from_string(url, **words))
    item = RateLimitItemPerYear(limit, YEARS)
    print("up", flush=True)
    each = int(sys.stdin.readline())
    passed = os.open(sys.argv[5], os.O_WRONLY | os.O_APPEND)

    def hammer() -> None:
        for _ in range(each):
            # Written at once: what a killed process let through is known all the same.
            if strategy_of.hit(item, "client", "acme"):
                os.write(passed, b".")

    crowd = [threading.Thread(target=hammer) for _ in range(threads)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()


class Burst:
    """Processes that wait for one word and then hit together."""

    def __init__(
        self,
        folder: Path,
        urls: list[str],
        strategy: str,
        limit: int,
        within: list[list[str]] | None = None,
    ) -> None:
        """Start one process for each URL, ``within`` what each command begins with."""
        self._passed = folder / "passed"
        self._passed.touch()
        words = [strategy, str(limit), "16", str(self._passed)]
        self.processes = [
            subprocess.Popen(
                [*before, sys.executable, __file__, url, *words],
                cwd=CHECKOUT,
                env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for url, before in zip(urls, within or [[]] * len(urls), strict=True)
        ]
        for process in self.processes:
            assert process.stdout.readline() == "up\n"

    def go(self, hits: int) -> None:
        """Send each process its share."""
        each = -(-hits // (16 * len(self.processes)))
        for process in self.processes:
            process.stdin.write(f"{each}\n")
            process.stdin.flush()

    def kill_in_the_middle(self, after: int) -> None:
        """Kill the first process by SIGKILL once so many passed."""
        while self.passed() < after:
            select.select([], [], [], 0.001)
        self.processes[0].send_signal(signal.SIGKILL)

    def passed(self) -> int:
        """Return how many were let through so far."""
        return self._passed.stat().st_size

    def end(self) -> int:
        """Wait for all and return how many were let through."""
        for process in self.processes:
            process.wait(timeout=120)
            process.stdin.close()
            process.stdout.close()
        return self.passed()


if __name__ == "__main__":
    worker(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
