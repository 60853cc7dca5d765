"""The route: for a caller with the scope, and for nobody else."""

from __future__ import annotations

import pytest

from plugins.metrics.plugin import Metrics
from plugins.scopes.plugin import Scopes
from secureml import Plugin, Principal
from secureml.testing import Harness


class Check(Plugin):
    """Knows whoever gives a scope for a name."""

    name = "phase"

    def identify(self, exchange):
        scope = exchange.request.headers.get("X-Scope")
        held = frozenset({scope})
        return Principal("a", "a", held, held, "", "phase", "k") if scope else None


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    harness = Harness(tmp_path)
    plugins = [harness.load(cls) for cls in (Check, Scopes, Metrics)]
    yield harness.app(plugins).test_client()
    harness.store.close()


@pytest.mark.parametrize(("scope", "status"), [("", 401), ("predict", 403), ("metrics", 200)])
def test_only_the_scope_opens_it(client, scope, status):
    answer = client.get("/metrics", headers={"X-Scope": scope} if scope else {})
    assert answer.status_code == status
    assert ("secureml_requests_total" in answer.text) == (status == 200)


def test_it_speaks_openmetrics_when_asked(client):
    headers = {"X-Scope": "metrics", "Accept": "application/openmetrics-text; version=1.0.0"}
    answer = client.get("/metrics", headers=headers)
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


def test_nothing_can_be_done_there(client):
    assert client.post("/metrics", headers={"X-Scope": "metrics"}).status_code == 405
