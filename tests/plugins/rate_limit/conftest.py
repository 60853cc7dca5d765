"""A plugin over a folder of its own, and requests to send it."""

from __future__ import annotations

import pytest

from plugins.rate_limit.plugin import RateLimit
from secureml import Policy, Principal
from secureml.testing import Harness

OPEN = Policy(scope=None)


def principal(client="acme", tier="standard"):
    """Return a caller who may do everything."""
    everything = frozenset({"*"})
    return Principal(client, client, frozenset({"predict"}), everything, tier, "api_keys", "k1")


class Limited:
    """One plugin, its clock, and the phases of a request."""

    def __init__(self, folder, table):
        self.harness = Harness(folder)
        self.clock = self.harness.clock
        self.plugin = self.harness.build(RateLimit, table)
        self._count = 0

    def exchange(self, client="acme", tier="standard", address="192.0.2.1", rows=None, **facts):
        """Return a request before its first phase."""
        self._count += 1
        who = principal(client, tier) if client else None
        found = self.harness.exchange("GET", "/v1/models", address=address, principal=who)
        found.id = f"{self._count:032x}"
        for name, value in facts.items():
            setattr(found, name, value)
        if rows is not None:
            found.payload = {"instances": [[0.0]] * rows}
        return found

    def before_view(self, exchange):
        """Run the phases before the view; raises Problem."""
        self.plugin.admit(exchange)
        self.plugin.limit(exchange)
        self.plugin.validate(exchange)

    def after_view(self, exchange, status=200):
        """Run the phases after the view and return the headers."""
        from werkzeug.datastructures import Headers

        headers = Headers()
        self.plugin.respond(exchange, headers)
        exchange.status = status
        self.plugin.record(exchange)
        return headers

    def send(self, status=200, **facts):
        """Make one whole request; return its problem, if any, and headers."""
        from secureml import Problem

        exchange = self.exchange(**facts)
        problem = None
        try:
            self.before_view(exchange)
        except Problem as refused:
            problem = refused
        return problem, self.after_view(exchange, status)

    def passed(self, times, **facts):
        """Return how many of so many requests pass."""
        return sum(self.send(**facts)[0] is None for _ in range(times))


@pytest.fixture
def limited(tmp_path):
    """A function that makes a plugin from its table; all are closed."""
    made = []

    def make(*limits, **table):
        table.setdefault("defaults", False)
        made.append(Limited(tmp_path, {"limits": [*limits], **table}))
        return made[-1]

    yield make
    for one in made:
        one.plugin.close()
        one.harness.store.close()
