"""Guesses seen by either worker are one count, and both make the guesser wait."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from live_serving import Served, UnixConnection, alone, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live_serving import Instance

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def guarded(prepared: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    mine = prepared.copy(tmp_path_factory.mktemp("guarded") / "instance")
    settings = mine.folder / "secureml.toml"
    text = settings.read_text()
    if '"brute_force"' not in text:
        text = text.replace('"transport", ', '"transport", "brute_force", ')
    settings.write_text(text + '\n[plugins.brute_force]\nfirst_wait = "1h"\nlongest_wait = "1h"\n')
    served = Served(mine.folder).ready()
    yield mine, served
    served.stop()


def by_each(served: Served, key: str) -> list[int]:
    """Return what each worker answers, asked by itself."""
    workers, found = served.workers(), []
    for worker in workers:
        with alone(worker, workers), closing(UnixConnection(served.instance)) as connection:
            found.append(ask(connection, "GET", "/v1/models", key, **connection.edge).status)
    return found


def test_guesses_are_one_count_whichever_worker_saw_them(guarded: tuple) -> None:
    mine, served = guarded
    key, other = mine.key("guessed"), mine.key("other")
    assert by_each(served, other) == [200, 200]
    prefix, name, secret = key.split("_", 2)
    wrong = f"{prefix}_{name}_{secret[::-1]}"
    for _ in range(3):
        assert by_each(served, wrong) == [401, 401]
    assert by_each(served, key) == [429, 429]
    assert by_each(served, other) == [200, 200]
    [row] = mine.run("brute-force", "list")
    assert row["failures"] == 6
    mine.run("brute-force", "lift", row["subject"])
    assert by_each(served, key) == [200, 200]
