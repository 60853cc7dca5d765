"""Attack: read everything the application prints, logs, writes and shows of its processes.

Every secret in use is a canary. None may be found in an answer, an error, a log line of any
level, the output of a command, the command line or environment of a process, or a file where
it does not belong.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

CHECKOUT = Path(__file__).parents[2]
# pytest imports each test file on its own (importlib mode), so these folders are no packages.
sys.path[:0] = [str(CHECKOUT / "tests/live"), str(CHECKOUT / "tests/secureml/state")]
from live_serving import Instance, Served
from stub_manager import Stub

from plugins.api_keys.keyring import Keyring
from secureml import program_log
from secureml.app import create_app
from secureml.cli.demo import train
from secureml.cli.main import CommandContext, secureml
from secureml.state.clients import Clients
from secureml.state.store import Store
from tests.canaries import found

EDGE = "canary-edge-token-7Q2m"
NEXT_EDGE = "canary-next-edge-token-9x"
BAO_TOKEN = "s.canary-bao-token-4kfw"
AWS_KEY = "canary/aws+identity=81"
FORWARDED = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
PREDICT = "/v1/models/breast-cancer/predict"
LISTS = ["check", "phases", "routes", "clients list", "models list", "api-keys list"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An instance with a sealed model, from `secureml init` on."""
    model, table = train(tmp_path_factory.mktemp("demo"))
    return Instance.make(tmp_path_factory.mktemp("canary") / "i", model, table)


def key_of(folder, client):
    """Add a client and issue it a key."""
    with closing(Store(f"sqlite:///{folder / 'secureml.db'}")) as store:
        ring, clients = Keyring(store, time.time), Clients(store, time.time)
        clients.add(client)
        return ring.issue(client, lifetime=None)[0].text


def typed(site, *words):
    """Type a command in this process."""
    return CliRunner().invoke(secureml, list(words), obj=CommandContext(str(site.folder)))


class Site:
    """An instance whose secrets are canaries, and all that was heard from it."""

    def __init__(self, instance, manager):
        self.folder, self.instance, self.heard = instance.folder, instance, []
        self._write("keys/bao-token", BAO_TOKEN)
        self._write("keys/edge-token", EDGE)
        self.text = (self.folder / "secureml.toml").read_text() + (
            f'\n[secrets.vault]\nurl = "{manager.url}"\ntoken = "file:keys/bao-token"\n'
            f'[secrets.aws]\nregion = "eu-central-1"\nendpoint_url = "{manager.url}"\n'
        )
        self.point("file:keys/edge-token")
        self.key = key_of(self.folder, "alice")

    def _write(self, name, text):
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)

    def point(self, reference):
        """Let the edge token come from somewhere else."""
        text = self.text.replace("file:keys/edge-token", reference)
        (self.folder / "secureml.toml").write_text(text)

    def canaries(self):
        """Every secret in use, by a name that may be told."""
        keys = {
            name: (self.folder / name).read_text()
            for name in ("keys/model-signing.key", "tls/server.key", "tls/ca.key")
        }
        # The first line of a key's body is all in its letters that is the key's alone.
        found = {name: "".join(pem.splitlines()[1:-1])[20:60] for name, pem in keys.items()}
        return found | {
            "edge token": EDGE,
            "next edge token": NEXT_EDGE,
            "login of the vault": BAO_TOKEN,
            "identity at AWS": AWS_KEY,
            "API key": self.key,
        }

    def on_event(self, *what):
        self.heard += [text if isinstance(text, bytes) else str(text).encode() for text in what]

    def silent(self):
        """Raise when a canary was heard, as it is or in a code that anybody undoes."""
        everything = b"\n".join(self.heard)
        assert len(everything) > 100
        emitted = [name for name, secret in self.canaries().items() if found(secret, everything)]
        assert emitted == []


@pytest.fixture
def manager():
    """Vault and AWS as one stub: the answer of each has the other's fields beside it."""
    stub = Stub()
    stub.says(
        {
            "data": {
                "data": {"token": EDGE},
                "metadata": {"created_time": "2026-01-01T00:00:00Z"},
            },
            "SecretString": EDGE,
            "CreatedDate": 1767225600,
        }
    )
    yield stub
    stub.close()


@pytest.fixture
def site(prepared, tmp_path, manager, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", AWS_KEY)
    # Before a command runs: its stderr ends with it, and the log would keep writing there.
    program_log.configure("warning")
    return Site(prepared.copy(tmp_path / "i"), manager)


def test_the_search_itself_finds_a_secret_in_each_disguise():
    """A test that cannot fail proves nothing."""
    raw = EDGE.encode()
    for disguise in (
        raw,
        raw.hex().encode(),
        base64.b64encode(b"header:" + raw),
        quote(EDGE).encode(),
    ):
        assert found(EDGE, b"x" + disguise + b"x")
    assert not found(EDGE, b"canary-edge-token")


@pytest.mark.parametrize(
    "reference",
    [
        "file:keys/edge-token",
        "env:CANARY_EDGE",
        "systemd:edge-token",
        "vault:kv/edge#token",
        "aws:edge",
    ],
)
def test_the_app_answers_fails_and_logs_without_a_secret(
    site, manager, reference, monkeypatch, caplog, capfd
):
    """Every logger at its most talkative, through refusals, a fault inside, and a rotation."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("CANARY_EDGE", EDGE)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(site.folder / "keys"))
    site.point(reference)
    app = create_app(site.folder)
    transport = next(
        item.plugin for item in app.extensions["secureml"].plugins if item.name == "transport"
    )
    caller = app.test_client()

    def ask(path, **headers):
        words = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = caller.get(path, base_url="http://localhost", headers={**FORWARDED, **words},
                            environ_overrides={"REMOTE_ADDR": ""})  # fmt: skip
        site.on_event(answer.data, dict(answer.headers))
        return answer.status_code

    edge = {"X_SecureML_Edge": EDGE}
    assert ask("/readyz", **edge) == 200
    assert ask("/v1/models", X_API_Key=site.key, **edge) == 200
    assert ask("/v1/models", X_API_Key=site.key[:-1], **edge) == 401
    assert ask("/v1/models", X_API_Key=EDGE, **edge) == 401
    assert ask(f"/v1/models?key={site.key}", **edge) == 400
    assert ask(f"/{EDGE}/{BAO_TOKEN}"[:1] + "nowhere", X_API_Key=site.key, **edge) == 404
    assert ask("/readyz", X_SecureML_Edge=EDGE[:-1]) == 403
    assert ask("/readyz") == 403

    def fault(offered):
        raise RuntimeError("a fault with the secret in its frame")

    monkeypatch.setattr(transport._token, "matches_any", fault)
    monkeypatch.setattr(transport, "_trust", type(transport._trust)(
        unix=True, networks=(), hosts=transport._trust.hosts, is_edge=fault))  # fmt: skip
    assert ask("/readyz", **edge) == 500
    transport.close()

    out, err = capfd.readouterr()
    site.on_event(out, err, caplog.text, repr(vars(transport)), repr(app.extensions["secureml"]))
    written = [path for path in (site.folder / "logs").rglob("*") if path.is_file()]
    assert any("audit" in path.name for path in written)
    site.on_event(*(path.read_bytes() for path in written))
    site.silent()


def test_a_rotation_and_an_outage_are_logged_without_a_secret(site, manager, caplog):
    """The old value, the new one, and what a failing manager says of them."""
    caplog.set_level(logging.DEBUG)
    site.point("vault:kv/edge#token")
    app = create_app(site.folder)
    live = next(
        item.plugin for item in app.extensions["secureml"].plugins if item.name == "transport"
    )._token
    answer = {"data": {"token": NEXT_EDGE}, "metadata": {"created_time": "2026-01-01T00:00:00Z"}}
    manager.says({"data": answer})
    live._turn()
    assert live.matches_any(NEXT_EDGE.encode())
    assert live.matches_any(EDGE.encode())

    for status in (400, 403, 404, 500):
        manager.says({"errors": [f"you sent {BAO_TOKEN} for {NEXT_EDGE}"]}, status)
        live._failing = False
        live._turn()
    manager.says(f"<html>{BAO_TOKEN}".encode())
    live._failing = False
    live._turn()
    assert live.matches_any(NEXT_EDGE.encode())

    site.on_event(caplog.text, repr(live), str(vars(live)))
    assert caplog.text.count("its last value stays in use") == 5
    site.silent()


@pytest.mark.parametrize("reference", ["file:keys/edge-token", "vault:kv/edge#token", "aws:edge"])
def test_commands_print_no_secret(site, reference):
    """For people and for scripts; what `api-keys issue` shows once is the one exception."""
    site.point(reference)
    for words in LISTS:
        for flag in ([], ["--json"]):
            done = typed(site, *words.split(), *flag)
            assert done.exit_code == 0, done.stderr
            site.on_event(done.stdout, done.stderr)
    site.silent()


@pytest.mark.parametrize(
    ("reference", "status"),
    [("vault:kv/edge#token", 403), ("vault:kv/edge#token", 500), ("aws:edge", 400),
     (EDGE, 200), (f"env:{'NOT_SET_ANYWHERE'}", 200), ("file:keys/absent", 200)],
)  # fmt: skip
def test_a_start_that_fails_tells_no_secret(site, manager, reference, status):
    """Neither what a manager wrote in its refusal, nor what somebody wrote into the settings."""
    if status != 200:
        manager.says({"errors": [f"{BAO_TOKEN} {EDGE}"], "__type": "X", "message": EDGE}, status)
    site.point(reference)
    for words in (["check"], ["check", "--json"], ["serve", "--no-nginx"], ["clients", "list"]):
        done = typed(site, *words)
        assert done.exit_code in (1, 2)
        site.on_event(done.stdout, done.stderr, repr(done.exception), done.exception)
    site.silent()


@pytest.mark.live
def test_a_running_server_shows_no_secret_to_who_looks_at_its_processes(site, monkeypatch):
    """`ps`, /proc, its output, its answers; and afterwards every file it left."""
    site.point("vault:kv/edge#token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)  # an identity given by a variable is seen in its process
    server = Served(site.folder, "--no-nginx").ready()
    try:
        rows = {"instances": [[1.0] * 30]}
        for words in [
            ("GET", "/readyz"),
            ("GET", "/v1/models", site.key),
            ("POST", PREDICT, site.key, rows),
            ("POST", PREDICT, site.key[:-1], rows),
            ("GET", f"/v1/models?api_key={site.key}", ""),
            ("POST", PREDICT, site.key, b'{"instances": [['),
            ("GET", "/nowhere", site.key),
        ]:
            answer = server.ask(*words)
            site.on_event(answer.body, answer.headers)
        pids = server.processes()
        assert len(pids) >= 4  # the command, Gunicorn, two workers
        for pid in pids:  # all that `ps eww` shows
            site.on_event(Path(f"/proc/{pid}/cmdline").read_bytes())
            site.on_event(Path(f"/proc/{pid}/environ").read_bytes())
    finally:
        server.stop()
    site.on_event(server.output)
    site.silent()
    assert strays(site) == []


def strays(site):
    """Return each file that holds a canary which does not belong there."""
    canaries = site.canaries()
    homes = {"edge token": "keys/edge-token", "login of the vault": "keys/bao-token"}
    homes |= {name: name for name in canaries if "/" in name}
    return [
        (str(path.relative_to(site.folder)), name)
        for path in site.folder.rglob("*")
        if path.is_file()
        for name, secret in canaries.items()
        if found(secret, path.read_bytes())
        and str(path.relative_to(site.folder)) != homes.get(name)
    ]


def test_what_init_and_issue_leave_holds_each_secret_in_its_own_file(site):
    """A key is issued once on the screen, and stays nowhere: the store has its digest."""
    issued = typed(site, "api-keys", "issue", "alice", "--json")
    key = json.loads(issued.stdout)["key"]
    assert strays(site) == []
    texts = [path.read_bytes() for path in site.folder.rglob("*") if path.is_file()]
    assert not any(found(key, text) for text in texts)
