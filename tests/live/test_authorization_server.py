"""Every grant by stock clients, over TLS, through Nginx, to two workers; and no token outlives
its revocation in either. When all is done, no secret that passed is anywhere but where it went.

The programs that are run are those of docs/clients, to the letter: Authlib over requests, and
openid-client. The person in front of the browser is played here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from joserfc.jwk import ECKey
from live_secrets import Secrets, heard_of
from live_servers import CHECKOUT, free_port
from live_serving import Instance, Served, UnixConnection, alone, ask
from outside_provider import NODE, installed, too_old

from tests.outside_issuer import proof

pytestmark = pytest.mark.live

HERE = Path(__file__).parent
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Servers:
    """A served instance that is an authorization server beside all other identities."""

    def __init__(self, instance: Instance, port: int) -> None:
        self.instance, self.site = instance, f"https://localhost:{port}"
        self.issuer, self.back = f"{self.site}/oauth2", f"http://127.0.0.1:{free_port()}/back"
        settings = instance.folder / "secureml.toml"
        settings.write_text(self._settings(settings.read_text()))
        instance.run("signing-keys", "rotate")
        for client in ("acme", "partner"):
            instance.run("clients", "add", client)
        self.resource_owner = instance.run(
            "oauth2-server", "users", "add", "ann", "--client", "acme"
        )
        self.served = Served(instance.folder, "--port", str(port))
        self.served.port = port
        self.ca = str(instance.folder / "tls/ca.crt")

    def _settings(self, text: str) -> str:
        return text.replace('"api_keys",', '"api_keys", "jwt", "oauth2_server",', 1) + (
            f'\n[plugins.jwt]\nissuer = "{self.site}"\naudience = "ml"\n'
            f'\n[plugins.oauth2_server]\nissuer = "{self.issuer}"\naudience = "{self.site}"\n'
        )

    def program(self, *words: str) -> dict[str, Any]:
        made: dict[str, Any] = self.instance.run(
            "oauth2-server", "clients", "add", "partner", *words
        )
        return made

    def statuses(self, token: str) -> list[int]:
        """Return what each worker answers to a token at its very next request."""
        workers = self.served.workers()
        assert len(workers) == 2
        found = []
        for worker in workers:
            with (
                alone(worker, workers),
                closing(UnixConnection(self.instance.folder)) as connection,
            ):
                words = {**connection.edge, "Authorization": f"Bearer {token}"}
                found.append(ask(connection, "GET", "/v1/models", **words).status)
        return found

    def session(self, program: dict[str, Any], **words: Any) -> OAuth2Session:
        """Return Authlib's session for a program."""
        made = OAuth2Session(
            program["id"],
            program.get("secret"),
            token_endpoint=f"{self.issuer}/token",
            code_challenge_method="S256",
            **words,
        )
        # Not what the machine's environment says of authorities and proxies.
        made.verify, made.trust_env = self.ca, False
        return made


class Browser:
    """A person in front of a browser without scripts."""

    def __init__(self, servers: Servers) -> None:
        self._application, self._session = servers, requests.Session()
        self._session.verify, self._session.trust_env = servers.ca, False

    def go(self, address: str, **answers: str) -> requests.Response:
        """Open an address, sign in where asked, answer the form; stop where we are sent away."""
        page = self._session.get(address, timeout=10)
        if 'value="sign-in"' in page.text:
            person = self._application.resource_owner
            page = self._submit(
                page, step="sign-in", name=person["name"], password=person["password"]
            )
        return self._submit(page, **(answers or {"step": "allow"}))

    def answer(self, page: requests.Response, **form: str) -> requests.Response:
        return self._submit(page, **form)

    def _submit(self, page: requests.Response, **form: str) -> requests.Response:
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        assert page.status_code == 200, page.text
        answer = self._session.post(
            page.url, data=hidden | form, allow_redirects=False, timeout=10,
            headers={"Origin": self._application.site, "Sec-Fetch-Site": "same-origin"},
        )  # fmt: skip
        if answer.is_redirect and answer.headers["Location"].startswith("/"):
            return self._session.get(urljoin(page.url, answer.headers["Location"]), timeout=10)
        return answer


@pytest.fixture(scope="module")
def servers(
    tool: Any, prepared: Instance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    tool("nginx", "apt-get install nginx-light")
    made, secrets = (
        Servers(prepared.copy(tmp_path_factory.mktemp("oauth") / "i"), free_port()),
        Secrets(),
    )
    secrets.add("password", made.resource_owner["password"])
    try:
        made.served.ready()
        with secrets.overhearing(pytest.MonkeyPatch()):
            yield made
        heard = heard_of(made.served, made.instance)
        planted = next(iter(secrets.emitted["password"])).encode()
        assert secrets.in_any({"a planted one": planted}) == [("password", "a planted one")]
        assert secrets.in_any(heard) == []
    finally:
        made.served.stop()


@pytest.fixture
def browser(servers: Servers) -> Browser:
    return Browser(servers)


@pytest.fixture(scope="module")
def web(servers: Servers) -> dict[str, Any]:
    """A program with a secret that asks people."""
    return servers.program(
        "--grant", "code", "--grant", "refresh", "--redirect", servers.back, "--name", "Web"
    )


@pytest.fixture(scope="module")
def machine(servers: Servers) -> dict[str, Any]:
    return servers.program("--grant", "client-credentials")


def code_session(servers: Servers, web: dict[str, Any], browser: Browser) -> OAuth2Session:
    """Return a session with tokens a person has agreed to."""
    session = servers.session(web, redirect_uri=servers.back, scope="models:read")
    verifier = "v" * 64
    address, state = session.create_authorization_url(
        f"{servers.issuer}/authorize", code_verifier=verifier
    )
    away = browser.go(address)
    assert away.status_code == 303, away.text
    back = away.headers["Location"].replace("http:", "https:", 1)
    session.fetch_token(authorization_response=back, state=state, code_verifier=verifier)
    return session


# -- Authlib --------------------------------------------------------------------------------


def test_authlib_client_credentials_and_a_revocation_seen_by_both_workers(
    servers: Servers, machine: dict[str, Any]
) -> None:
    session = servers.session(machine)
    token = session.fetch_token(grant_type="client_credentials")
    assert session.get(f"{servers.site}/v1/models").status_code == 200
    assert servers.statuses(token["access_token"]) == [200, 200]

    assert session.revoke_token(f"{servers.issuer}/revoke").status_code == 200
    assert servers.statuses(token["access_token"]) == [401, 401]
    seen = session.introspect_token(f"{servers.issuer}/introspect", token=token["access_token"])
    assert seen.json() == {"active": False}


def test_authlib_code_with_pkce_then_refresh_then_reuse_seen_by_both_workers(
    servers: Servers, web: dict[str, Any], browser: Browser
) -> None:
    session = code_session(servers, web, browser)
    first = dict(session.token)
    assert servers.statuses(first["access_token"]) == [200, 200]
    second = session.refresh_token(refresh_token=first["refresh_token"])
    assert servers.statuses(second["access_token"]) == [200, 200]

    with pytest.raises(Exception, match="invalid_grant"):
        session.refresh_token(refresh_token=first["refresh_token"])
    for pair in (first, second):
        assert servers.statuses(pair["access_token"]) == [401, 401]


def test_a_code_replayed_ends_its_tokens_in_both_workers(
    servers: Servers, web: dict[str, Any], browser: Browser
) -> None:
    session = servers.session(web, redirect_uri=servers.back, scope="models:read")
    address, state = session.create_authorization_url(
        f"{servers.issuer}/authorize", code_verifier="v" * 64
    )
    back = browser.go(address).headers["Location"].replace("http:", "https:", 1)
    words = {"authorization_response": back, "state": state, "code_verifier": "v" * 64}
    token = session.fetch_token(**words)["access_token"]
    assert servers.statuses(token) == [200, 200]
    with pytest.raises(Exception, match="invalid_grant"):
        session.fetch_token(**words)
    assert servers.statuses(token) == [401, 401]


def test_a_device_by_hand(servers: Servers, browser: Browser) -> None:
    """Authlib's client does not know this grant, so it is spoken by hand."""
    program = servers.program("--grant", "device", "--public")
    session = requests.Session()
    session.verify, session.trust_env = servers.ca, False
    form = {"client_id": program["id"], "scope": "models:read"}
    begun = session.post(f"{servers.issuer}/device_authorization", data=form, timeout=10).json()
    poll = {
        "grant_type": DEVICE,
        "client_id": program["id"],
        "device_code": begun["device_code"],
    }
    ask_again = [
        session.post(f"{servers.issuer}/token", data=poll, timeout=10).json()["error"]
        for _ in range(2)
    ]
    assert ask_again == ["authorization_pending", "slow_down"]

    page = browser.go(begun["verification_uri"], step="look", user_code=begun["user_code"])
    assert "is connected" in browser.answer(page, step="allow").text
    answer = session.post(f"{servers.issuer}/token", data=poll, timeout=10)
    assert answer.json()["error"] == "slow_down"  # allowed, and still told to wait
    store = servers.instance.folder / "secureml.db"
    forget_the_wait(store)
    given = session.post(f"{servers.issuer}/token", data=poll, timeout=10).json()
    assert servers.statuses(given["access_token"]) == [200, 200]
    again = session.post(f"{servers.issuer}/token", data=poll, timeout=10).json()
    assert again["error"] == "invalid_grant"
    assert servers.statuses(given["access_token"]) == [401, 401]


def forget_the_wait(store: Path) -> None:
    """Set the last poll back, so that no test waits ten seconds."""
    import sqlite3

    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE oauth2_devices SET polled = 0")


def test_authlib_with_proofs_of_possession(servers: Servers) -> None:
    """A program that must bind its tokens to a key, and what they are worth without it."""
    program = servers.program("--grant", "client-credentials", "--dpop")
    key = ECKey.generate_key("P-256")
    session = servers.session(program)
    with pytest.raises(Exception, match="invalid_dpop_proof"):
        session.fetch_token(grant_type="client_credentials")
    now = int(time.time())
    shown = proof(key, "", htm="POST", htu=f"{servers.issuer}/token", iat=now, ath=None)
    token = session.fetch_token(grant_type="client_credentials", headers={"DPoP": shown})
    assert token["token_type"] == "DPoP"
    text = token["access_token"]
    assert servers.statuses(text) == [401, 401]
    mine = proof(key, text, htu=f"{servers.site}/v1/models", iat=now, jti="mine")
    headers = {"Authorization": f"DPoP {text}", "DPoP": mine}
    seen = [
        requests.get(f"{servers.site}/v1/models", headers=headers, verify=servers.ca, timeout=10)
        for _ in range(3)
    ]
    assert [answer.status_code for answer in seen] == [200, 401, 401]


# -- operators ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["clients revoke", "users remove", "disable", "disable person"])
def test_what_an_operator_ends_is_ended_in_both_workers(
    servers: Servers, browser: Browser, way: str
) -> None:
    program = servers.program("--grant", "code", "--redirect", servers.back)
    token = code_session(servers, program, browser).token["access_token"]
    assert servers.statuses(token) == [200, 200]
    if way == "clients revoke":
        servers.instance.run("oauth2-server", "clients", "revoke", program["id"])
    elif way == "users remove":
        servers.instance.run("oauth2-server", "users", "remove", "ann")
        servers.resource_owner = servers.instance.run(
            "oauth2-server", "users", "add", "ann", "--client", "acme"
        )
    else:
        name = "partner" if way == "disable" else "acme"
        servers.instance.run("clients", "disable", name)
        assert servers.statuses(token) == [401, 401]
        servers.instance.run("clients", "enable", name)
        assert servers.statuses(token) == [200, 200]
        return
    assert servers.statuses(token) == [401, 401]


def test_a_retired_signing_key_ends_its_tokens_in_both_workers(
    servers: Servers, machine: dict[str, Any]
) -> None:
    token = servers.session(machine).fetch_token(grant_type="client_credentials")["access_token"]
    assert servers.statuses(token) == [200, 200]
    kids = {key["kid"] for key in jwks(servers)["keys"]}
    active = next(k for k in servers.instance.run("signing-keys", "list") if k["state"] == "active")
    servers.instance.run("signing-keys", "retire", active["kid"])
    assert servers.statuses(token) == [401, 401]
    assert {key["kid"] for key in jwks(servers)["keys"]} & kids != kids
    again = servers.session(machine).fetch_token(grant_type="client_credentials")["access_token"]
    assert servers.statuses(again) == [200, 200]


def jwks(servers: Servers) -> Any:
    return requests.get(f"{servers.issuer}/jwks.json", verify=servers.ca, timeout=10).json()


def test_a_rotated_secret_is_the_only_one_in_both_workers(servers: Servers) -> None:
    program = servers.program("--grant", "client-credentials")
    old = servers.session(program)
    assert old.fetch_token(grant_type="client_credentials")
    new = servers.instance.run("oauth2-server", "clients", "rotate", program["id"])
    for _ in range(6):
        with pytest.raises(Exception, match="invalid_client"):
            servers.session(program).fetch_token(grant_type="client_credentials")
    assert servers.session(new).fetch_token(grant_type="client_credentials")


def test_it_stands_beside_tokens_that_were_traded_for_keys(servers: Servers) -> None:
    """Two issuers of one application: each plugin leaves the other's tokens alone."""
    servers.instance.run("clients", "add", "trader", "--scope", "token", "--scope", "models:read")
    key = servers.instance.run("api-keys", "issue", "trader")["key"]
    pair = json.loads(servers.served.ask("POST", "/v1/auth/token", key, {}).body)
    assert servers.statuses(pair["access_token"]) == [200, 200]


# -- the examples of the docs ---------------------------------------------------------------


def environment(servers: Servers, program: dict[str, Any], **more: str) -> dict[str, str]:
    words = {
        "CLIENT_ID": program["id"],
        "REQUESTS_CA_BUNDLE": servers.ca,
        "NODE_EXTRA_CA_CERTS": servers.ca,
        "NODE_NO_WARNINGS": "1",
    }
    if "secret" in program:
        words["CLIENT_SECRET"] = program["secret"]
    return {**os.environ, **words, **more}


def run(command: list[str], folder: Path, env: dict[str, str], browse: Any = None) -> list[str]:
    """Run an example, do in a browser what it asks for, and return what it printed."""
    with subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = threading.Timer(60, process.kill)
        deadline.start()
        try:
            lines = printed(process, browse)
            assert process.wait() == 0, process.stderr.read() if process.stderr else ""
        finally:
            deadline.cancel()
            process.kill()
    return lines


def printed(process: subprocess.Popen[str], browse: Any) -> list[str]:
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line.strip())
        if browse is not None:
            browse(lines)
    return lines


def agree(browser: Browser) -> Any:
    """Play the person of an example that asks for one."""

    def browse(lines: list[str]) -> None:
        word, _, what = lines[-1].partition(" ")
        if word == "open" and what.endswith("/device"):
            return
        if word == "open":
            away = browser.go(what)
            assert requests.get(away.headers["Location"], timeout=10).ok
        if word == "code":
            page = browser.go(lines[-2].removeprefix("open "), step="look", user_code=what)
            assert "is connected" in browser.answer(page, step="allow").text

    return browse


@pytest.mark.parametrize("way", ["machine", "person"])
def test_the_python_example_of_the_docs_runs(
    servers: Servers, web: dict[str, Any], machine: dict[str, Any], browser: Browser, way: str
) -> None:
    program, more = (machine, []) if way == "machine" else (web, [servers.back])
    example = [sys.executable, "docs/clients/oauth2_client.py", way, servers.issuer, *more]
    said = run(example, CHECKOUT, environment(servers, program), agree(browser))
    assert json.loads(said[-1])["models"][0]["name"] == "breast-cancer"


@pytest.fixture(scope="module")
def javascript(tool: Any) -> list[str]:
    """Node and the example of the docs, beside the packages it needs, exactly as locked."""
    node, npm = tool("node", NODE), tool("npm", NODE)
    if too_old(node):
        pytest.fail(NODE) if os.environ.get("CI") == "true" else pytest.skip(NODE)
    folder = installed(npm, HERE / "openid_client")
    shutil.copy(CHECKOUT / "docs/clients/oauth2_client.mjs", folder)
    return [node, str(folder / "oauth2_client.mjs")]


@pytest.mark.parametrize("bound", [False, True], ids=["bearer", "dpop"])
@pytest.mark.parametrize("way", ["machine", "person", "public", "device"])
def test_openid_client_by_the_example_of_the_docs(
    servers: Servers, javascript: list[str], browser: Browser, way: str, bound: bool
) -> None:
    words = {
        "machine": ["--grant", "client-credentials"],
        "person": ["--grant", "code", "--grant", "refresh", "--redirect", servers.back],
        "public": ["--grant", "code", "--grant", "refresh", "--redirect", servers.back, "--public"],
        "device": ["--grant", "device", "--grant", "refresh", "--public"],
    }[way]
    program = servers.program(*words, *(["--dpop"] if bound else []))
    env = environment(servers, program, **({"DPOP": "1"} if bound else {}))
    verb = "person" if way == "public" else way
    example = [*javascript, verb, servers.issuer, *([servers.back] if verb == "person" else [])]

    said = run(example, CHECKOUT, env, agree(browser))
    assert json.loads(said[-1])["models"][0]["name"] == "breast-cancer"
    assert "revoked yes" in said
    assert ("active true" in said) == ("secret" in program)
