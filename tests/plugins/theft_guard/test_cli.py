from __future__ import annotations

import json

import numpy as np
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


def test_reasons_and_times_of_a_list_are_those_of_the_enforcement(service):
    (row,) = json.loads(typed(service, "list", "--json").output)
    (kept,) = service.guard._enforcements.list_all()

    assert row["reasons"] == kept.reasons.split(",")
    assert len(row["explanation"].split("; ")) == len(row["reasons"])
    assert row["score"] == pytest.approx(kept.score, abs=0.01)
    assert (row["since"], row["lifted"]) == ("2026-01-01T00:00:00Z", None)
    line = typed(service, "list").output
    assert f"{kept.score:.1f}" in line
    assert "coarsen" in line


def test_what_show_counts_is_what_the_record_holds(service):
    (now,) = json.loads(typed(service, "show", "mallory", "--json").output)["now"]
    record = service.guard._table.find("client", f"{service.target.handle.name} mallory")

    for index, each in enumerate(now["detectors"]):
        assert each["sum"] == pytest.approx(float(record["sums"][index]), abs=0.01)
        assert sum(each["counts"]) <= 12
    assert now["score"] > 0


def test_a_client_of_two_models_is_lifted_for_one_and_the_other_stays(service):
    (kept,) = service.guard._enforcements.list_all()
    service.guard._enforcements.save(kept._replace(model="other"))
    done = json.loads(typed(service, "lift", "mallory", "--model", "other", "--json").output)

    assert done == {"lifted": "mallory", "models": ["other"]}
    assert [event.facts for event in service.harness.emitted] == [{"model": "other"}]
    (left,) = json.loads(typed(service, "list", "--json").output)
    assert left["model"] == kept.model


def test_a_client_that_was_never_flagged_is_shown_with_its_rows(serve, target):
    found = serve()
    found.ask(target.fresh[:3], "alice")
    shown = json.loads(typed(found, "show", "alice", "--json").output)

    assert shown["enforcements"] == []
    assert (shown["now"][0]["rows"], shown["now"][0]["level"]) == (3, "watched")


def test_a_client_whose_name_ends_like_anothers_is_not_shown_with_it(serve, target):
    found = serve()
    for name in ("alice", "malice"):
        found.ask(target.fresh[:1], name)
    assert len(json.loads(typed(found, "show", "alice", "--json").output)["now"]) == 1


def test_a_hold_whose_table_is_gone_is_still_shown(service):
    service.guard.close()
    for file in (service.folder / "store").iterdir():
        file.unlink()
    shown = json.loads(typed(service, "show", "mallory", "--json").output)
    assert (len(shown["enforcements"]), shown["now"]) == (1, [])
    assert not list((service.folder / "store").iterdir()), "looking makes no table"


@pytest.mark.parametrize("level", [-7, 99])
def test_a_damaged_level_is_shown_as_one_there_is(service, level):
    name = f"{service.target.handle.name} mallory"
    with service.guard._table.locked("client", name, 1.0) as state:
        state.record["level"], state.record["sums"] = level, np.full(10, np.inf)
    shown = typed(service, "show", "mallory")
    assert shown.exit_code == 0, shown.output
    assert "now: score" in shown.output


@pytest.mark.parametrize("words", [["show"], ["lift"], ["lift", "a", "b"], ["list", "x"], ["shout"],
                                   ["list", "--some"]])  # fmt: skip
def test_words_that_make_no_sense_end_with_two(service, words):
    done = typed(service, *words)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


@pytest.mark.parametrize("word", ["show", "lift"])
def test_a_fault_is_json_for_a_script(service, word):
    done = typed(service, word, "nobody", "--json")
    assert done.exit_code == 1
    assert "nobody" in json.loads(done.stderr)["error"]
    assert done.stdout == ""
