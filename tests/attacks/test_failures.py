"""Attack: make each thing of docs/failures.md fail, and see that nothing leaks and nothing opens.

The tables are the list of cases: a row without a way to provoke it fails, and so does a way
without a row.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import time
from contextlib import closing

import failures_table
import numpy as np
import pytest
import settings_reference
import sqlalchemy as sa
from flask import Blueprint
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.anonymous.plugin import Anonymous
from plugins.api_keys.keyring import Keyring
from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Plugin, requires
from secureml.app import create_app
from secureml.cli.main import main
from secureml.models.artifact import signature
from secureml.pipeline import events
from secureml.pipeline.plugin import phases_of
from secureml.settings import read
from secureml.state.clients import Clients
from secureml.state.store import Store
from secureml.testing import Harness

SECRET = "s3cr3t detail of the inside"
PREDICT = "/v1/models/breast-cancer/predict"
INSIDE = re.compile(
    r"s3cr3t|Traceback|File \"|\.py\b|[a-z]Error\b|Exception|sqlite|sklearn|numpy|/tmp|secureml\.db"
)


# The list of tables a plugin cannot do without, though no one key of it is required.
BESIDES = {"oauth2": ("issuers",)}


class Frail(Exception):
    """An exception that tells all."""


def breaks(self, *_):
    raise Frail(SECRET)


def passes(self, exchange, *more):
    return more[0] if more and not hasattr(more[0], "add") else None


@pytest.fixture(scope="module")
def row(demo_instance):
    """A row that the demo model knows."""
    card = json.loads(next(demo_instance.glob("models/*/1/card.json")).read_text())
    return card["golden"]["rows"][0]


def check(answer, promised):
    """Hold an answer to what the page promises, and read in it for what it must not say."""
    status, code = promised
    said = f"{answer.headers}\n{answer.get_data(as_text=True)}"

    assert answer.status_code == status, said
    assert not INSIDE.search(said), said
    if code:
        assert answer.json["code"] == code
        assert "predictions" not in answer.json
    return answer


# -- a plugin that raises --------------------------------------------------------------------


def broken(cls, place, table, harness):
    """Load a plugin of which one phase or extra raises and whose other phases let pass."""
    words = {phase.value: passes for phase in phases_of(cls)}
    words[place.lower()] = breaks
    return harness.load(type(cls.__name__, (cls,), words), table)


def table_of(cls, instance):
    """Return what this instance says of a plugin, else what it cannot do without."""
    said = read(instance).plugin_tables.get(cls.name)
    if said is not None:
        return dict(said)
    fields = cls.schema().fields
    table = {
        key: settings_reference.example_of(key, field)
        for key, field in fields.items()
        if field.required
    }
    for key in BESIDES.get(cls.name, ()):
        table[key] = [settings_reference.one_of(fields[key].inner.schema)]
    return table


def observed(promised, app, path, row):
    """Ask, and return the answer held to the promise."""
    client = app.test_client()
    asked = (
        client.get("/readyz")
        if path == "/readyz"
        else client.post(PREDICT, json={"instances": [row]})
    )
    return check(asked, promised)


@pytest.mark.parametrize(
    "case", failures_table.at_phases(), ids=lambda case: f"{case[0]}-{case[1]}"
)
def test_a_plugin_that_raises_fails_as_the_page_says(case, fresh_instance, row, caplog):
    """Whatever plugin the tree holds, at each of its phases."""
    cls = {one.name: one for one in settings_reference.plugins()}[case.plugin]
    harness = Harness(fresh_instance)
    table = table_of(cls, fresh_instance)
    promised = failures_table.answer_of(case.caller)
    if case.place == "verify_artifact":
        harness.models = type(harness.models)(
            fresh_instance / "models",
            [broken(cls, "verify_artifact", table, harness).plugin.verify_artifact],
        )
        with pytest.raises(Frail):
            harness.models.load_all()
        assert harness.models.get("breast-cancer") is None
        assert promised is None
        return
    harness.models.load_all()
    guilty = broken(cls, case.place, table, harness)
    usual = [harness.load(one) for one in (Anonymous, Scopes, Errors)]
    if case.place == "render":
        usual = usual[1:]  # so that somebody has to be refused
    app = harness.app([guilty, *usual])
    with caplog.at_level(logging.ERROR):
        answer = observed(promised, app, "/readyz" if case.place == "ready" else PREDICT, row)
        if case.place == "measures":
            assert events.measures([guilty.plugin]) == []
        if case.place == "on_event" and cls.vital:
            with pytest.raises(Frail):
                events.emit([guilty.plugin], events.Event("user_updated"))
            return
        if case.place == "on_event":
            events.emit([guilty.plugin], events.Event("user_updated"))
    if case.place == "render":
        assert set(answer.json) == {"code", "id"}
    assert SECRET in caplog.text, "what was kept from the caller must be in the log"


# -- anything else ---------------------------------------------------------------------------


class Site:
    """A whole server over an instance folder of its own: one client, one key."""

    def __init__(self, folder, row):
        self.folder, self.row, self._app = folder, row, None
        store = Store(f"sqlite:///{folder / 'secureml.db'}")
        with closing(store):
            Clients(store, time.time).add("ward")
            self.key = Keyring(store, time.time).issue("ward", lifetime=None)[0].text
        token = (folder / "keys" / "edge-token").read_text().strip()
        self.edge = {"X-SecureML-Edge": token, "X-Forwarded-For": "192.0.2.1",
                     "X-Forwarded-Proto": "https", "X-API-Key": self.key}  # fmt: skip
        self.where = {"REMOTE_ADDR": ""}

    def app(self):
        if self._app is None:
            self._app = create_app(self.folder)
        return self._app

    def settings(self, old, new):
        file = self.folder / "secureml.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def get(self, path):
        return self.app().test_client().get(path, headers=self.edge, environ_base=self.where)

    def ask(self, instances=None):
        body = {"instances": [self.row] if instances is None else instances}
        client = self.app().test_client()
        return client.post(PREDICT, json=body, headers=self.edge, environ_base=self.where)

    def does_not_start(self, *words):
        with pytest.raises(ConfigError) as refused:
            create_app(self.folder)
        for word in words:
            assert word in str(refused.value)

    def close(self):
        if self._app is not None:
            core = self._app.extensions["secureml"]
            for loaded in core.plugins:
                getattr(loaded.plugin, "close", lambda: None)()
            core.store.close()


@pytest.fixture
def site(fresh_instance, row):
    site = Site(fresh_instance, row)
    yield site
    site.close()


def model_raises(site, monkeypatch):
    model = site.app().extensions["secureml"].models.get("breast-cancer")
    monkeypatch.setattr(type(model._estimator), "predict_proba", breaks)
    return site.ask()


def model_answers_nonsense(site, monkeypatch):
    model = site.app().extensions["secureml"].models.get("breast-cancer")
    nonsense = lambda self, rows: np.full((len(rows), 2), np.nan)  # noqa: E731
    monkeypatch.setattr(type(model._estimator), "predict_proba", nonsense)
    return site.ask()


def model_file_changed(site, monkeypatch):
    site.app()
    (file,) = site.folder.glob("models/breast-cancer/1/model.data")
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert site.ask().status_code == 200
    site.does_not_start("model")


def _database(site):
    return site.folder / "secureml.db"


def _forget(site):
    """Have nothing remembered in this process."""
    site.app().extensions["secureml"].store.close()
    for rest in site.folder.glob("secureml.db-*"):
        rest.unlink()


def store_is_garbage(site, monkeypatch):
    assert site.ask().status_code == 200
    _forget(site)
    _database(site).write_bytes(b"no database" * 500)
    check(site.get("/healthz"), (200, ""))
    assert site.get("/readyz").json["reasons"] == ["store_unavailable"]
    return site.ask()


def store_is_gone(site, monkeypatch):
    assert site.ask().status_code == 200
    _forget(site)
    _database(site).unlink()
    _database(site).mkdir()
    check(site.get("/healthz"), (200, ""))
    assert "store_unavailable" in site.get("/readyz").json["reasons"]
    return site.ask()


def store_is_locked(site, monkeypatch):
    assert site.ask().status_code == 200
    with closing(sqlite3.connect(_database(site), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        return site.ask()


def store_is_full(site, monkeypatch):
    """A full disk says SQLITE_FULL, and so does a database that may have no page more."""
    assert site.ask().status_code == 200
    site.app().extensions["secureml"].store.close()

    def fill(connection, _):
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the size it has

    sa.event.listen(sa.engine.Engine, "connect", fill)
    try:
        issued = [issue(site) for _ in range(100)]
        assert not all(issued), "it was never full"
        assert _keys(site) == 1 + sum(issued)
        return site.ask()
    finally:
        sa.event.remove(sa.engine.Engine, "connect", fill)


def issue(site):
    """Tell whether the command that issues a key succeeded."""
    with pytest.raises(SystemExit) as ended:
        main(["api-keys", "issue", "ward", "--instance", str(site.folder)])
    return not ended.value.code


def _keys(site):
    with closing(sqlite3.connect(_database(site))) as found:
        return found.execute("SELECT count(*) FROM api_keys_keys").fetchone()[0]


def log_disk_is_full(site, monkeypatch):
    """/dev/full is a full disk that every Linux has."""
    site.app()
    log = site.folder / "logs" / "access.log"
    log.unlink(missing_ok=True)
    log.symlink_to("/dev/full")
    answer = site.ask()
    assert "access_log failed at record" in site.log.text
    return answer


class Vital(Plugin):
    """A recorder without which nothing is answered."""

    name, vital = "vital", True
    record = breaks


class Withholds(Plugin):
    """Takes probabilities away."""

    name = "withholds"

    def shape(self, exchange, result):
        return type(result)(result.predictions)


class BringsBack(Plugin):
    """Asks the model again."""

    name = "brings_back"

    def shape(self, exchange, result):
        return exchange.model.predict(exchange.read_rows())


def _harnessed(site, *classes, blueprints=()):
    harness = Harness(site.folder)
    harness.models.load_all()
    usual = (Anonymous, Scopes, Errors, *classes)
    client = harness.app([harness.load(cls) for cls in usual], blueprints).test_client()
    path = "/frail" if blueprints else PREDICT
    return client.post(path, json={"instances": [site.row]})


def vital_recorder_fails(site, monkeypatch):
    return _harnessed(site, Vital)


def plugin_brings_back(site, monkeypatch):
    return _harnessed(site, Withholds, BringsBack)


def view_raises(site, monkeypatch):
    views = Blueprint("views", __name__)
    views.post("/frail", endpoint="frail")(requires("predict")(lambda: breaks(None)))
    return _harnessed(site, blueprints=[views])


def body_ends_early(site, monkeypatch):
    builder = EnvironBuilder(PREDICT, method="POST", headers=site.edge, environ_base=site.where,
                             data=json.dumps({"instances": [site.row]})[:-30],
                             content_type="application/json")  # fmt: skip
    environ = builder.get_environ()
    body, status, headers = run_wsgi_app(site.app(), environ)
    return site.app().response_class(b"".join(body), status, headers)


def settings_are_wrong(site, monkeypatch):
    site.settings("[plugins.transport]", "[plugins.transport]\ntrust = true")
    site.does_not_start("plugins.transport", "trust")


def plugin_cannot_be_imported(site, monkeypatch):
    site.settings('"scopes"', '"scopes", "scoops"')
    site.does_not_start("scoops")


def nobody_identifies(site, monkeypatch):
    site.settings('"api_keys", ', "")
    site.does_not_start("IDENTIFY", "anonymous")


def secret_is_gone(site, monkeypatch):
    (site.folder / "keys" / "edge-token").unlink()
    site.does_not_start("edge_token")


def card_rule_is_none(site, monkeypatch):
    """Signed with the right key, by whoever holds it, and still no rule."""
    from secureml.models.card import Card, Section

    folder = site.folder / "models" / "breast-cancer" / "1"
    for file in folder.iterdir():
        file.chmod(0o600)
    card = Card.from_json((folder / "card.json").read_bytes())
    rule = {"name": "r", "rule": "__import__('os')", "action": "refuse"}
    object.__setattr__(card, "sections", {"input_rules": Section(public={"rules": [rule]})})
    key = signature.read_private_key(site.folder / "keys" / "model-signing.key")
    seal = signature.sign((folder / "model.data").read_bytes(), card.to_json(), key)
    (folder / "card.json").write_bytes(card.to_json())
    (folder / "signature.json").write_bytes(seal)
    site.does_not_start("rule")


HERE = {row.key: row for row in failures_table.anything() if row.shown_by == "here"}


@pytest.mark.parametrize("key", HERE)
def test_what_fails_fails_as_the_page_says(key, site, monkeypatch, caplog):
    """Each provoked for real: files, databases, devices and models that are broken."""
    promised = failures_table.answer_of(HERE[key].caller)
    provoke, site.log = globals()[key], caplog
    with caplog.at_level(logging.ERROR):
        answer = provoke(site, monkeypatch)
    assert (answer is None) is (promised is None)
    if answer is not None:
        check(answer, promised)
        if answer.status_code >= 500:
            emitted = caplog.text + (site.folder / "logs" / "access.log").read_text()
            assert answer.json["id"] in emitted, "a fault of ours is in a log"
