"""What an operator takes away at the command line is gone in every worker at its next request.

Each worker is asked by itself: the other one is held still meanwhile (SIGSTOP), so a new
connection to Gunicorn's socket can only be answered by the one in question.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from live_serving import UnixConnection, alone, ask

if TYPE_CHECKING:
    from live_serving import Instance, Served

pytestmark = pytest.mark.live


def statuses(served: Served, key: str) -> list[int]:
    """Return what each worker answers to a key at its very next request."""
    workers = served.workers()
    assert len(workers) == 2
    found = []
    for worker in workers:
        with alone(worker, workers), closing(UnixConnection(served.instance)) as connection:
            found.append(ask(connection, "GET", "/v1/models", key, **connection.edge).status)
    return found


def at_the_edge(served: Served, key: str) -> set[int]:
    """Return what twenty connections through Nginx are answered."""
    return {served.ask("GET", "/v1/models", key).status for _ in range(20)}


def key_id(key: str) -> str:
    return key.split("_")[1]


def test_a_revoked_key_is_refused_by_both_workers_at_once(
    served: Served, instance: Instance
) -> None:
    key = instance.key("revoked-one")
    assert statuses(served, key) == [200, 200]
    instance.run("api-keys", "revoke", key_id(key))
    assert statuses(served, key) == [401, 401]
    assert at_the_edge(served, key) == {401}


def test_a_disabled_client_is_out_and_an_enabled_one_back_in_both_workers(
    served: Served, instance: Instance
) -> None:
    key = instance.key("switched")
    assert statuses(served, key) == [200, 200]
    instance.run("clients", "disable", "switched")
    assert statuses(served, key) == [401, 401]
    instance.run("clients", "enable", "switched")
    assert statuses(served, key) == [200, 200]


def test_in_the_overlap_of_a_rotation_both_keys_work_in_both_workers(
    served: Served, instance: Instance
) -> None:
    old = instance.key("rotating", lifetime=3600)
    assert statuses(served, old) == [200, 200]
    new = instance.run("api-keys", "rotate", key_id(old), "--overlap", "1h")["key"]
    assert statuses(served, old) == [200, 200]
    assert statuses(served, new) == [200, 200]
    assert at_the_edge(served, old) == at_the_edge(served, new) == {200}


def test_after_the_overlap_only_the_new_key_works(served: Served, instance: Instance) -> None:
    old = instance.key("rotated")
    assert statuses(served, old) == [200, 200]
    new = instance.run("api-keys", "rotate", key_id(old), "--overlap", "0s")["key"]
    assert statuses(served, old) == [401, 401]
    assert statuses(served, new) == [200, 200]
    assert at_the_edge(served, old) == {401}


def test_a_key_issued_while_the_server_runs_works_in_both_workers(
    served: Served, instance: Instance
) -> None:
    instance.run("clients", "add", "newcomer")
    key = instance.run("api-keys", "issue", "newcomer")["key"]
    assert statuses(served, key) == [200, 200]
