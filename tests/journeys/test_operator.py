"""An operator's week: from an empty folder to a model rolled back, by commands alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from journey_site import get, predict
from sklearn.datasets import load_wine

from secureml.config_error import ConfigError
from secureml.testing import Clock

if TYPE_CHECKING:
    from journey_site import Site, Work

ROWS = load_wine().data[[0, 70, 177]].tolist()
DAY = 86_400.0


def seal(site: Site, work: Work, which: str, *more: str) -> str:
    words = ["--name", "wine", "--data", str(work.table), "--target", "kind", *more]
    version: str = site.run("models", "seal", str(getattr(work, which)), *words)["version"]
    return version


def test_from_nothing_to_a_prediction_and_back(site: Site, work: Work) -> None:
    made = site.run("init")["made"]
    assert "secureml.toml" in made
    assert seal(site, work, "first") == "1"
    assert site.run("check")["models"] == {"wine": "1"}
    site.run("clients", "add", "shop", "--tier", "gold", "--model", "wine")
    issued = site.run("api-keys", "issue", "shop", "--expires", "30d")
    caller = site.start()

    answer = predict(caller, issued["key"], ROWS)
    assert answer.status_code == 200
    truth = work.truth(work.first, ROWS)
    assert (answer.json["predictions"], answer.json["probabilities"]) == truth

    # The key is due: both work for a while, then the old one is ended early.
    fresh = site.run("api-keys", "rotate", issued["id"], "--overlap", "24h")
    assert predict(caller, issued["key"], ROWS).status_code == 200
    assert predict(caller, fresh["key"], ROWS).status_code == 200
    site.run("api-keys", "revoke", issued["id"])
    assert predict(caller, issued["key"], ROWS).status_code == 401
    assert predict(caller, fresh["key"], ROWS).status_code == 200
    states = {row["id"]: row["state"] for row in site.run("api-keys", "list")}
    assert states == {issued["id"]: "revoked", fresh["id"]: "active"}

    # The shop does not pay, then it does: no restart in between.
    site.run("clients", "disable", "shop")
    assert predict(caller, fresh["key"], ROWS).status_code == 401
    site.run("clients", "enable", "shop")
    assert predict(caller, fresh["key"], ROWS).status_code == 200


def test_a_new_version_serves_from_the_next_start_and_can_be_rolled_back(
    site: Site, work: Work
) -> None:
    site.run("init")
    seal(site, work, "first")
    site.run("clients", "add", "shop")
    key = site.run("api-keys", "issue", "shop")["key"]
    before = site.start()
    assert seal(site, work, "second") == "2"

    # Sealed is not chosen; what is chosen serves from the next start on, where no worker runs that
    # could follow.
    assert predict(site.start(), key, ROWS).json["model"]["version"] == "1"
    assert site.run("models", "use", "wine", "2")["workers"] == 0
    assert predict(before, key, ROWS).json["model"]["version"] == "1"
    after = predict(site.start(), key, ROWS).json
    assert after["model"]["version"] == "2"
    assert (after["predictions"], after["probabilities"]) == work.truth(work.second, ROWS)

    assert site.run("models", "rollback", "wine")["version"] == "1"
    again = predict(site.start(), key, ROWS).json
    assert again["model"]["version"] == "1"
    assert (again["predictions"], again["probabilities"]) == work.truth(work.first, ROWS)
    marks = {row["version"]: row["current"] for row in site.run("models", "list")}
    assert marks == {"1": True, "2": False}


def test_a_version_that_was_tampered_with_is_neither_used_nor_rolled_back_to(
    site: Site, work: Work
) -> None:
    site.run("init")
    seal(site, work, "first")
    seal(site, work, "second", "--use")
    file = site.folder / "models/wine/1/model.data"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes() + b"x")
    for words in (("use", "wine", "1"), ("rollback", "wine")):
        assert "signature: the model file changed" in site.fail("models", *words)
    assert site.run("check")["models"] == {"wine": "2"}


def test_keys_end_by_themselves(site: Site, work: Work) -> None:
    site.run("init")
    seal(site, work, "first")
    site.run("clients", "add", "shop")
    long, short = (
        site.run("api-keys", "issue", "shop", "--expires", life)["key"] for life in ("90d", "2d")
    )
    import time

    clock = Clock(time.time())
    caller = site.start(clock)
    assert [get(caller, "/v1/models", key).status_code for key in (long, short)] == [200, 200]
    clock.advance(3 * DAY)
    assert [get(caller, "/v1/models", key).status_code for key in (long, short)] == [200, 401]
    clock.advance(90 * DAY)
    assert get(caller, "/v1/models", long).status_code == 401


def test_init_twice_changes_nothing(site: Site) -> None:
    site.run("init")
    before = {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    assert site.run("init")["made"] == []
    assert {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()} == before


def test_mistakes_are_told_in_one_line(site: Site, work: Work) -> None:
    site.run("init")
    for words, says in (
        (("clients", "show", "nobody"), "there is no client 'nobody'"),
        (("clients", "disable", "nobody"), "there is no client 'nobody'"),
        (("clients", "add", "A B"), "is not a valid client name"),
        (("api-keys", "issue", "nobody"), "secureml clients add nobody"),
        (("api-keys", "revoke", "nothing"), "there is no key 'nothing'"),
        (("models", "use", "wine", "1"), "secureml models list"),
        (("models", "rollback", "wine"), "there is no model 'wine'"),
        (("models", "seal", str(work.table), "--name", "wine"), "fix: "),
    ):
        emitted = site.fail(*words)
        assert says in emitted, emitted
        assert "\n" not in emitted


def test_the_phases_and_routes_can_be_seen_without_starting(site: Site, work: Work) -> None:
    site.run("init")
    seal(site, work, "first")
    phases = site.run("phases")
    assert phases["identify"] == ["api_keys"]
    assert phases["authorize"] == ["scopes"]
    assert {row["path"] for row in site.run("routes") if row["public"]} == {"/healthz", "/readyz"}


def test_a_secret_left_open_stops_the_start_and_the_line_mends_it(site: Site, work: Work) -> None:
    site.run("init")
    seal(site, work, "first")
    key = site.folder / "keys/model-signing.key"
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {key}"):
        site.start()
    key.chmod(0o600)
    assert get(site.start(), "/readyz").json == {"status": "ready"}


def test_sealing_the_file_that_serves_again_makes_no_second_version(site: Site, work: Work) -> None:
    site.run("init")
    words = ["--name", "wine", "--data", str(work.table), "--target", "kind", "--use"]
    words.append("--unless-same")

    assert site.run("models", "seal", str(work.first), *words)["version"] == "1"
    assert site.run("models", "seal", str(work.first), *words) == {"name": "wine", "made": False}
    assert site.run("models", "seal", str(work.second), *words)["version"] == "2"
