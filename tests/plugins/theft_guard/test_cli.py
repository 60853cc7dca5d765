from __future__ import annotations

import json

import pytest
from click.testing import CliRunner


@pytest.fixture
def service(serve, nonsense):
    found = serve(actions=["coarsen"], delay=2)
    for _ in range(12):
        found.ask(nonsense())
    return found


def typed(service, *words):
    return CliRunner().invoke(service.guard.commands(), [*words])


def test_list_names_who_was_noticed_and_why(service):
    (row,) = json.loads(typed(service, "list", "--json").output)

    assert (row["kind"], row["name"], row["level"]) == ("client", "mallory", "coarsen")
    assert "no real row" in row["explanation"]
    assert "mallory" in typed(service, "list").output


def test_show_says_what_each_test_counts_now(service):
    shown = json.loads(typed(service, "show", "mallory", "--json").output)
    (now,) = shown["now"]

    assert (now["rows"], now["new_rows"], now["level"]) == (12, 12, "coarsen")
    assert {detector["detector"] for detector in now["detectors"]} >= {"mahalanobis", "nearest"}
    assert sum(now["detectors"][0]["counts"]) == 12
    assert 0 < now["coverage"] <= 1
    assert "12 different rows" in typed(service, "show", "mallory").output


def test_a_lifted_client_leaves_the_list_and_all_shows_it(service):
    assert typed(service, "lift", "mallory").exit_code == 0
    assert json.loads(typed(service, "list", "--json").output) == []
    (row,) = json.loads(typed(service, "list", "--all", "--json").output)
    assert row["lifted"]


@pytest.mark.parametrize("word", ["show", "lift"])
def test_a_stranger_is_said_to_be_one(service, word):
    done = typed(service, word, "nobody")
    assert done.exit_code == 1
    assert "nobody" in done.output


def test_nothing_noticed_is_said_in_words(serve):
    assert "nothing was noticed" in typed(serve(), "list").output
