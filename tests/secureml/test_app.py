"""The start: each step may stop it with one line, and none may open a phase."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from secureml.app import create_app, phase_table
from secureml.config_error import ConfigError
from secureml.core import build_core
from secureml.model_loading import load_models
from secureml.pipeline.phases import Phase
from secureml.testing import Clock
from tests.instance_copies import copy_instance

PLUGINS = '''
import random
from flask import Blueprint
from secureml import Kind, Plugin, public

class Spare(Plugin):
    name = "spare"
    def admit(self, exchange): pass

class Misspelt(Plugin):
    name = "misspelt"
    def authorise(self, exchange): pass

class Open(Plugin):
    """Has a route that says nothing of who may ask."""
    name = "open_route"
    def blueprint(self):
        found = Blueprint("open_route", __name__)
        found.get("/open")(lambda: {"open": True})
        return found

class Stealing(Plugin):
    """Wants a code that is the core's."""
    name = "stealing"
    problems = (Kind("stealing.a", 400, "A"), Kind("stealing.a", 400, "A"))

class Unready(Plugin):
    name = "unready"
    def ready(self): return "unready"

class Asking(Plugin):
    name = "asking"
    scopes = ("asking:more",)

class Clinging(Plugin):
    name = "clinging"
    def close(self): raise OSError("no")

class Check(Plugin):
    name = "phase"
    def identify(self, exchange): return None
    def authorize(self, exchange): pass

class Renderer(Plugin):
    name = "renderer"
    def render(self, problem, kind, exchange): return {}

class Awaited(Plugin):
    name = "awaited"
    async def limit(self, exchange): pass

class Nameless(Plugin):
    def limit(self, exchange): pass

class Raising(Plugin):
    name = "raising"
    def __init__(self, config, host): open("/nowhere/keys")

class Noisy(Plugin):
    name = "noisy"
    def __init__(self, config, host): self._dice = random.Random()

class Routes(Plugin):
    name = "routes"
    def blueprint(self): return {"/": "index"}

class Twice(Plugin):
    name = "twice"
    def blueprint(self): return Blueprint("api", __name__)

class Waiting(Plugin):
    name = "waiting"
    def blueprint(self):
        found = Blueprint("waiting", __name__)
        async def wait(): return {}
        found.get("/wait")(public()(wait))
        return found

class Surveying(Plugin):
    name = "surveying"
    def check_routes(self, routes): raise KeyError("nowhere")

class Vouching(Plugin):
    name = "vouching"
    def verify_artifact(self, artifact): return False

class Failing(Plugin):
    name = "failing"
    def verify_artifact(self, artifact): raise SystemExit(3)
    def start_worker(self, threads): raise SystemExit(0)

class Worker(Plugin):
    name = "worker"
    def __init__(self, config, host): self.threads = []
    def start_worker(self, threads): self.threads.append(threads)

not_a_plugin = 5
'''


@pytest.fixture
def site(fresh_instance, tmp_path, monkeypatch):
    """An instance, and plugins of an operator's own that can be named."""
    (tmp_path / "site_plugins.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "site_plugins", raising=False)
    return fresh_instance


def change(folder, old, new):
    file = folder / "secureml.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def add(folder, *names):
    change(folder, '"audit_log"]', ", ".join(['"audit_log"', *(f'"{n}"' for n in names)]) + "]")


def refusal(folder):
    with pytest.raises(ConfigError) as refused:
        create_app(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_good_instance_starts_and_answers(site):
    app = create_app(site)
    assert app.test_client().get("/readyz", base_url="https://localhost").status_code == 200
    assert app.extensions["secureml"].models.names() == ["breast-cancer"]


def test_the_instance_is_the_environments_where_none_is_given(site, monkeypatch):
    monkeypatch.setenv("SECUREML_INSTANCE", str(site))
    assert create_app().extensions["secureml"].settings.instance == site


def test_the_clock_is_passed_on_to_all_who_ask_it(site):
    clock = Clock()
    core = build_core(site, now=clock)
    assert core.clients.add("acme").created == clock()
    core.store.close()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["api_kees"], "the plugin 'api_kees' cannot be imported"),
        (["site_plugins:Nothing"], "cannot be imported"),
        (["site_plugins:not_a_plugin"], "is not a Plugin class"),
        (["../evil"], "is not a plugin name"),
        ([""], "is not a plugin name"),
        (["scopes"], "'scopes' is listed twice"),
        (["site_plugins:Misspelt"], "did you mean 'authorize'?"),
        (["site_plugins:Open"], "/open"),
        (["site_plugins:Stealing"], "stealing.a"),
        (["site_plugins:Renderer"], "two plugins word refusals"),
        (["site_plugins:Awaited"], "Awaited: limit is async def: it would be called and never run"),
        (["site_plugins:Nameless"], "Nameless: it has no name"),
        (["site_plugins:Raising"], "Raising.__init__ raised FileNotFoundError"),
        (["site_plugins:Noisy"], "Noisy keeps a random.Random in self._dice"),
        (
            ["site_plugins:Routes"],
            "[plugins.routes]: Routes.blueprint returned dict; fix: return a",
        ),
        (["site_plugins:Twice"], "[plugins.twice]: to add its blueprint raised ValueError"),
        (["site_plugins:Waiting"], "Waiting: wait is async def, "),
        (["site_plugins:Surveying"], "[plugins.surveying]: Surveying.check_routes raised KeyError"),
    ],
)
def test_a_plugin_that_cannot_stand_there_stops_the_start(site, names, says):
    add(site, *names)
    line = refusal(site)
    assert says in line
    assert line.startswith(f"{site / 'secureml.toml'}: ")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"api_keys", ', "", "no plugin runs in IDENTIFY; fix: add one that does: 'api_keys', "),
        ('"scopes", ', "", "no plugin runs in AUTHORIZE; fix: add one that does: 'client_cer"),
        ('"transport", ', "", "[plugins.transport]: this table configures a plugin that is not en"),
        ("direct = true", 'direct = "yes"', "[plugins.transport] direct: "),
        (
            "direct = true",
            "directt = true",
            "[plugins.transport] directt: this key is unknown; fix: did you mean 'direct'?",
        ),
        ('"file:keys/edge-token"', '"hunter2"', "[plugins.transport] edge_token: this must be a "),
        ('"file:keys/edge-token"', '"env:NOT_SET_HERE"', "[plugins.transport] edge_token: "),
        ('trusted = ["unix"]', 'trusted = ["0.0.0.0/0"]', "[plugins.transport] trusted: "),
        ('profile = "development"', 'profile = "prod"', "[secureml] profile: "),
    ],
)
def test_a_bad_table_stops_the_start_with_its_place(site, old, new, says):
    change(site, old, new)
    line = refusal(site)
    assert says in line
    assert "hunter2" not in line


def test_a_plugin_that_cannot_be_observed_stops_the_start(site):
    with (site / "secureml.toml").open("a") as file:
        file.write('[plugins.scopes]\nmode = "observe"\n')
    assert "[plugins.scopes] mode: this plugin cannot be observed only" in refusal(site)


def test_in_production_a_missing_guard_stops_the_start_unless_it_is_waived(site, caplog):
    change(site, 'profile = "development"', 'profile = "production"')
    create_app(site)
    change(site, '"model_integrity",', "")
    assert "the production profile refuses: model_integrity is not enabled" in refusal(site)
    change(site, 'profile = "production"', 'profile = "production"\naccept_risk = ["x"]')
    assert "'x' is not a risk that production refuses" in refusal(site)
    change(site, '["x"]', '["model_integrity"]')
    with caplog.at_level(logging.WARNING, "secureml"):
        create_app(site)
    assert "accepted risk: model_integrity" in caplog.messages


def test_a_secret_left_open_stops_the_start(site):
    (site / "keys" / "edge-token").chmod(0o640)
    assert refusal(site).endswith(f"fix: chmod 600 {site / 'keys' / 'edge-token'}")


@pytest.mark.parametrize("name", ["model.data", "card.json", "signature.json"])
def test_a_model_with_a_changed_byte_stops_the_start(site, name):
    file = site / "models" / "breast-cancer" / "1" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    line = refusal(site)
    assert line.startswith(f"{site / 'models'}: ")
    assert "breast-cancer version 1" in line
    assert "; fix: " in line


def test_a_missing_model_key_stops_the_start(site):
    (site / "model_integrity" / "signing.pem").unlink()
    assert "[plugins.model_integrity] keys: the public key signing.pem cannot be read" in refusal(
        site
    )


def test_commands_need_no_model_to_be_good(site):
    (site / "models" / "breast-cancer" / "current").write_text("nonsense")
    core = build_core(site)
    with pytest.raises(ConfigError, match="does not hold a version"):
        load_models(core)


def test_commands_need_no_module_of_a_name_that_is_allowed(site):
    """It may be on the path of the service alone; a start needs it."""
    with (site / "secureml.toml").open("a") as file:
        file.write("\n[models]\nallow = ['ourfeatures.Ratio']\n")
    core = build_core(site)
    with pytest.raises(ConfigError, match="no module ourfeatures here") as refused:
        load_models(core)
    assert (refused.value.file, refused.value.table, refused.value.key) == (
        str(site / "secureml.toml"),
        "models",
        "allow",
    )


def test_a_module_that_a_model_imported_is_looked_at_for_the_other_names_of_it(site, monkeypatch):
    with (site / "secureml.toml").open("a") as file:
        file.write("\n[models]\nallow = ['mine_of_app.Ratoi']\n")
    (site / "mine_of_app.py").write_text("class Ratio: pass\n")
    monkeypatch.syspath_prepend(site)
    core = build_core(site)
    load_models(core)  # nobody knows yet, and nothing is imported to find out
    monkeypatch.setattr(core.models, "load_all", lambda _: importlib.import_module("mine_of_app"))
    try:
        with pytest.raises(ConfigError, match="mine_of_app has no Ratoi; fix: did you mean 'Ra"):
            load_models(core)
    finally:
        sys.modules.pop("mine_of_app", None)


def test_nothing_is_opened_before_the_first_request(site):
    """Gunicorn loads the app and forks; what is open cannot cross."""
    app = create_app(site)
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    assert not any(str(link.readlink()).startswith(str(site / "secureml.db")) for link in links)
    assert app.test_client().get("/readyz", base_url="https://localhost").status_code == 200
    app.extensions["secureml"].close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "secureml.db is missing"),
        ("sqlite:///stroe/secureml.db", "so is the folder {site}/stroe"),
        ("sqlite:///secureml.dbb", "did you mean 'secureml.db'?"),
        ("sqlite:////nowhere/at/all/x.db", "/nowhere/at/all/x.db is missing"),
        ("sqlite:///models", "models is not a file"),
        ("sqlite:///empty.db", "empty.db is empty"),
        ("sqlite:///:memory:", ":memory: is missing"),
    ],
)
def test_attack_a_store_that_is_not_there_stops_the_start_and_none_is_made(site, url, says):
    """An empty one knows of no revocation."""
    if not url:
        (site / "secureml.db").rename(site / "away")
    (site / "empty.db").touch(0o600)
    with (site / "secureml.toml").open("a") as file:
        file.write(f'\n[store]\nurl = "{url}"\n')
    before = sorted(site.rglob("*"))
    said = refusal(site)
    assert says.format(site=site) in said
    assert f"{site / 'secureml.toml'}: [store] url: there is no store: " in said
    assert "`secureml init`" in said
    assert sorted(site.rglob("*")) == before


def test_attack_the_store_of_another_instance_is_not_used(site, tmp_path):
    other = tmp_path / "other"
    copy_instance(site, other)
    with (site / "secureml.toml").open("a") as file:
        file.write(f'\n[store]\nurl = "sqlite:///{other}/secureml.db"\n')
    said = refusal(site)
    assert f"in another instance folder ({other})" in said
    assert 'fix: url = "sqlite:///secureml.db"' in said


def test_a_store_outside_the_instance_folder_is_told_at_each_start(site, tmp_path, caplog):
    place = tmp_path / "elsewhere" / "kept.db"
    place.parent.mkdir(mode=0o700)
    (site / "secureml.db").rename(place)
    with (site / "secureml.toml").open("a") as file:
        file.write(f'\n[store]\nurl = "sqlite:///{place}"\n')
    create_app(site).extensions["secureml"].close()
    (line,) = [r.message for r in caplog.records if "outside the instance folder" in r.message]
    assert str(place) in line
    assert 'url = "sqlite:///store/kept.db"' in line


# -- one model that is refused --------------------------------------------------------------------


@pytest.fixture
def beside(site):
    """A second model, of which a byte was changed, beside the healthy one."""
    shutil.copytree(site / "models" / "breast-cancer", site / "models" / "spoilt")
    file = site / "models" / "spoilt" / "1" / "model.data"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    return site


def caller_of(app, *scopes):
    core = app.extensions["secureml"]
    core.clients.add("acme", scopes=scopes) if scopes else core.clients.add("acme")
    (keys,) = (item for item in core.plugins if item.name == "api_keys")
    key, _ = keys.plugin._keyring.issue("acme", lifetime=None)
    caller = app.test_client()

    def ask(method, path, **words):
        words |= {"base_url": "https://localhost", "headers": {"X-API-Key": key.text}}
        return caller.open(path, method=method, **words)

    return ask


def test_a_refused_model_takes_no_healthy_one_down(beside, caplog):
    with caplog.at_level(logging.ERROR, "secureml"):
        app = create_app(beside)
    models = app.extensions["secureml"].models
    row = list(models.get("breast-cancer").card.golden.rows[0])
    ask = caller_of(app)
    good = ask("POST", "/v1/models/breast-cancer/predict", json={"instances": [row]})

    assert good.status_code == 200
    assert ready(app) == (200, {"status": "ready"})
    assert "closed: model spoilt version 1: signature" in caplog.text
    app.extensions["secureml"].store.close()


def test_a_refused_model_answers_with_its_problem_and_tells_nothing(beside):
    app = create_app(beside)
    ask = caller_of(app)
    for method, path, words in (
        ("POST", "/v1/models/spoilt/predict", {"json": {"instances": [[1.0] * 30]}}),
        ("GET", "/v1/models/spoilt", {}),
    ):
        answer = ask(method, path, **words)
        assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")
        assert "signature" not in answer.text
    assert [one["name"] for one in ask("GET", "/v1/models").json["models"]] == ["breast-cancer"]
    assert ask("GET", "/v1/models/nowhere").json["code"] == "not_found"
    app.extensions["secureml"].store.close()


def test_a_refused_model_is_measured_and_told_of_by_each_worker(beside, monkeypatch):
    core = create_app(beside).extensions["secureml"]
    heard = []
    monkeypatch.setattr("secureml.core.events.emit", lambda plugins, event: heard.append(event))
    core.start_worker(4)
    facts = {"model": "spoilt", "version": "1", "check": "signature"}
    assert [event.facts for event in heard if event.name == "model_refused"] == [facts]
    (found,) = [one for one in core.measures(0) if one.name == "model_refused"]
    assert dict(found.labels) == {"model": "spoilt", "check": "signature"}
    core.close()


def test_a_refusal_that_cannot_be_told_of_stops_no_worker(beside, monkeypatch, caplog):
    core = create_app(beside).extensions["secureml"]

    def fails(plugins, event):
        raise OSError

    monkeypatch.setattr("secureml.core.events.emit", fails)
    core.start_worker(4)
    assert "model_refused could not record an event" in caplog.text
    core.close()


# -- ready, and why not ---------------------------------------------------------------------------


def ready(app):
    answer = app.test_client().get("/readyz", base_url="https://localhost")
    return answer.status_code, answer.json


def test_without_a_model_it_lives_and_is_not_ready(site):
    shutil.rmtree(site / "models" / "breast-cancer")
    app = create_app(site)
    assert ready(app) == (503, {"status": "not_ready", "reasons": ["no_model"]})
    assert app.test_client().get("/healthz", base_url="https://localhost").status_code == 200


def test_without_its_store_it_is_not_ready_and_comes_back_with_it(site):
    app = create_app(site)
    assert ready(app) == (200, {"status": "ready"})
    db = site / "secureml.db"
    db.rename(site / "moved")
    assert ready(app) == (503, {"status": "not_ready", "reasons": ["store_unavailable"]})
    (site / "moved").rename(db)
    assert ready(app) == (200, {"status": "ready"})


def test_a_plugin_says_that_it_is_not_ready(site):
    add(site, "site_plugins:Unready")
    shutil.rmtree(site / "models" / "breast-cancer")
    reasons = ["no_model", "unready"]
    assert ready(create_app(site)) == (503, {"status": "not_ready", "reasons": reasons})


# -- who stands where -----------------------------------------------------------------------------


def test_the_table_of_phases_is_in_the_operators_order_and_marks_who_only_observes(site):
    add(site, "site_plugins:Check", "site_plugins:Spare")
    with (site / "secureml.toml").open("a") as file:
        file.write('[plugins.spare]\nmode = "observe"\n')
    phases = dict(phase_table(build_core(site).plugins))
    assert list(phases) == list(Phase)
    assert phases[Phase.ADMIT] == ["transport", "rate_limit", "api_keys", "spare?"]
    assert phases[Phase.IDENTIFY] == ["api_keys", "phase"]
    assert phases[Phase.AUTHORIZE] == ["scopes", "phase"]
    assert phases[Phase.SHAPE] == ["output_rules"]


def test_the_table_is_logged_once_at_the_start(site, caplog):
    change(site, 'profile = "development"', 'profile = "development"\nlog_level = "info"')
    with caplog.at_level(logging.INFO, "secureml"):
        create_app(site)
    assert [line.split()[0] for line in caplog.messages] == [phase.name for phase in Phase]
    assert "IDENTIFY  api_keys" in caplog.messages


def test_plugins_that_want_to_know_are_told_that_a_worker_has_started(site):
    add(site, "site_plugins:Worker")
    core = build_core(site)
    core.start_worker(4)
    emitted = [loaded.plugin.threads for loaded in core.plugins if loaded.name == "worker"]
    assert emitted == [[4]]
    core.store.close()


def test_a_limit_on_a_route_that_is_not_there_stops_the_start(site):
    with (site / "secureml.toml").open("a") as file:
        file.write(
            '[[plugins.rate_limit.limits]]\nfor = "client"\nallow = "5 per minute"\n'
            'route = "/v1/models/<name>/predict"\n'
        )
    with pytest.raises(ConfigError, match="which is not a route") as refused:
        create_app(site)
    assert (refused.value.table, refused.value.key) == ("plugins.rate_limit", "limits")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Vouching", "vouching returned False; it must raise"),
        ("Failing", "failing failed to verify"),
    ],
)
def test_a_plugin_that_verifies_models_by_accident_verifies_none(site, name, says):
    add(site, f"site_plugins:{name}")
    line = refusal(site)
    assert "model breast-cancer version 1" in line
    assert says in line


def test_a_worker_does_not_begin_without_what_a_plugin_begins_in_it(site):
    """Gunicorn would replace a worker that left by exit code 0, for ever."""
    add(site, "site_plugins:Failing")
    core = build_core(site)
    with pytest.raises(
        ConfigError, match=r"\[plugins\.failing\]: Failing\.start_worker raised SystemExit: 0"
    ):
        core.start_worker(4)
    core.store.close()


def test_who_only_observes_is_named_at_the_start_and_where_it_does(site, caplog):
    """At RECORD it writes as ever: that is what it is tried out for."""
    with (site / "secureml.toml").open("a") as file:
        file.write(
            '[plugins.output_rules]\nmode = "observe"\n[plugins.rate_limit]\nmode = "observe"\n'
        )
    with caplog.at_level(logging.WARNING, "secureml"):
        app = create_app(site)
    phases = dict(phase_table(app.extensions["secureml"].plugins))
    assert phases[Phase.SHAPE] == ["output_rules?"]
    assert "rate_limit?" in phases[Phase.LIMIT]
    assert "rate_limit?" in phases[Phase.RESPOND]
    assert "rate_limit" in phases[Phase.RECORD]
    for name in ("output_rules", "rate_limit"):
        assert (
            f"{name} is in observe mode: it refuses nothing and changes no answer"
            in caplog.messages
        )


def test_a_plugin_with_nothing_to_observe_is_told_so(site):
    """Not that who someone is is always enforced."""
    with (site / "secureml.toml").open("a") as file:
        file.write('[plugins.security_headers]\nmode = "observe"\n')
    assert "it refuses nothing and changes no result, so there is nothing to obs" in refusal(site)


# -- names that match nothing ---------------------------------------------------------------------


def test_a_start_goes_on_without_a_client_that_is_named_and_says_so(site, caplog):
    """Commands add and take away clients: `check` refuses, and a server at night still starts."""
    append(site, "[[plugins.rate_limit.limits]]\nfor = 'client:acme'\nallow = '5 per minute'\n")
    with caplog.at_level(logging.WARNING, "secureml"):
        create_app(site)
    assert "there is no client 'acme', so this setting does nothing" in caplog.text


def test_a_scope_that_nothing_demands_stops_the_start(site):
    add(site, "anonymous")
    append(site, "[plugins.anonymous]\nscopes = ['predikt']\n")
    line = refusal(site)
    assert "[plugins.anonymous] scopes.0: there is no scope 'predikt'" in line
    assert "did you mean 'predict'?" in line


def test_a_plugin_that_is_not_enabled_stops_the_start(site):
    add(site, "jwt")
    append(
        site,
        "[plugins.jwt]\nissuer = 'https://ml.example.org'\naudience = 'ml'\n"
        "traded = ['api_kees']\n",
    )
    assert "there is no plugin 'api_kees'" in refusal(site)


def test_a_scope_that_a_plugin_asks_about_itself_is_one(site):
    add(site, "anonymous", "site_plugins:Asking")
    append(site, "[plugins.anonymous]\nscopes = ['predict', 'asking:more']\n")
    create_app(site)


def append(folder, text):
    with (folder / "secureml.toml").open("a") as file:
        file.write(text)


def test_a_store_that_is_gone_is_in_the_program_log_the_audit_log_and_readiness(
    fresh_instance, caplog
):
    import json

    app = create_app(fresh_instance)
    core = app.extensions["secureml"]
    core.start_worker(1)
    caller = app.test_client()
    words = {"base_url": "https://localhost", "environ_overrides": {"REMOTE_ADDR": "127.0.0.1"}}
    assert caller.get("/readyz", **words).status_code == 200
    store = fresh_instance / "secureml.db"
    store.rename(fresh_instance / "away.db")
    for _ in range(5):
        answer = caller.get("/readyz", **words)
        assert (answer.status_code, "store_unavailable" in answer.text) == (503, True)
    lines = [r.message for r in caplog.records if r.name == "secureml.store"]
    assert len(lines) == 1
    assert f"{store}: its file is missing" in lines[0]
    logs = sorted((fresh_instance / "logs/audit").glob("audit-*.jsonl"))
    events = [json.loads(raw)["event"] for raw in logs[-1].read_text().splitlines()]
    assert events.count("sys_store_lost") == 1
    core.close()


def test_an_application_that_is_closed_leaves_no_thread_and_no_open_file(fresh_instance):
    change(fresh_instance, '"metrics",', '"metrics", "anomaly",')
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    append(fresh_instance, f'\n[plugins.metrics]\nlisten = "{address}"\n')
    words = {"base_url": "https://localhost", "environ_overrides": {"REMOTE_ADDR": "127.0.0.1"}}

    def files():
        return {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}  # noqa: PTH208

    before = set(threading.enumerate())
    for _ in range(2):
        app = create_app(fresh_instance)
        core = app.extensions["secureml"]
        core.start_worker(4)
        for key in ("", "no key"):
            app.test_client().get("/v1/models", headers={"X-API-Key": key}, **words)
        begun = set(threading.enumerate()) - before
        assert {thread.name for thread in begun} >= {
            "refusals", "audit-sync", "audit-checkpoints", "metrics", "anomaly",
        }  # fmt: skip
        assert any(str(fresh_instance) in file for file in files())
        core.close()
        for thread in begun:
            thread.join(10)
        assert not [thread.name for thread in begun if thread.is_alive()]
        assert not [file for file in files() if str(fresh_instance) in file]


def test_what_is_used_after_the_close_is_opened_again(fresh_instance):
    app = create_app(fresh_instance)
    core = app.extensions["secureml"]
    words = {"base_url": "https://localhost", "environ_overrides": {"REMOTE_ADDR": "127.0.0.1"}}
    for _ in range(2):
        assert app.test_client().get("/readyz", **words).status_code == 200
        core.close()


def test_a_plugin_that_cannot_close_keeps_no_other_from_it(site, caplog):
    change(site, '"rate_limit",', '"site_plugins:Clinging", "rate_limit",')
    before = set(threading.enumerate())
    core = create_app(site).extensions["secureml"]
    core.start_worker(1)
    begun = set(threading.enumerate()) - before
    core.close()
    assert "clinging failed to close" in caplog.text
    assert "audit-checkpoints" in {thread.name for thread in begun}
    for thread in begun:
        thread.join(10)
        assert not thread.is_alive()


def test_the_collector_of_garbage_works_again_when_the_start_is_over(demo_instance):
    script = (
        "import gc, runpy; runpy.run_path('deploy/gunicorn.conf.py'); print(gc.isenabled()); "
        "import wsgi; print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=True,
        capture_output=True, text=True, env={**os.environ, "SECUREML_INSTANCE": str(demo_instance)},
    )  # fmt: skip
    assert done.stdout.split() == ["False", "True", "True"]
