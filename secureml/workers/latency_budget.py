"""When requests are quick enough to be answered one after the other; times in seconds."""

from __future__ import annotations


class Pace:
    """Whether the next request may be answered while others wait; times in seconds.

    Counted is by how much requests were longer than the interpreter would let one thread run
    while others wait for it: so long a wait they have in the pool as well. Of that, a fiftieth of
    all time is forgiven, so that a hiccup changes nothing; a batch of 45 ms is more.

    What is counted is work and waiting, not the time in which the machine ran something else:
    on a busy one each request is interrupted, and the pool would make that no better.
    """

    slice = 0.005  # sys.getswitchinterval(), unless somebody changes it
    forgiven = 0.02  # seconds of a second
    most = 0.03  # so much may be owed and requests still be answered one after the other
    again = 0.01  # and so much when that begins anew
    ceiling = 0.1  # nothing is held against them for longer than five seconds
    enough = 50  # requests that must have been quick before the first is answered inline

    def __init__(self, now: float) -> None:
        self._owed, self._as_of = self.ceiling, now
        self._count, self._quick = 0, False

    def note(self, took: float, now: float) -> None:
        """Take down what a request took of its thread.

        Threads may call it concurrently: at worst one request is not counted.
        """
        owed = self._still_owed(now) + max(0.0, took - self.slice)
        self._owed, self._as_of = min(owed, self.ceiling), now
        self._count = 0 if took > self.slice else self._count + 1
        if owed > self.most:
            self._quick = False

    def is_quick(self, now: float) -> bool:
        """Tell whether the next request will hardly keep others waiting."""
        if not self._quick and self._still_owed(now) <= self.again and self._count >= self.enough:
            self._quick = True
        return self._quick

    def _still_owed(self, now: float) -> float:
        return max(0.0, self._owed - self.forgiven * (now - self._as_of))


def took(wall: float, cpu: float, waits: int) -> float:
    """Return for how long a request kept its thread from others, in seconds.

    ``wall`` is how long it lasted, ``cpu`` how much of that it computed, and ``waits`` how often
    it gave up the processor to wait for something. Where it never did, the rest of its time is
    that of other processes.
    """
    return wall if waits else cpu
