"""An application that is an authorization server, a browser that signs in, and its clients."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from plugins.errors.plugin import Errors
from plugins.oauth2_server.clients import CODE, DEVICE, MACHINE, REFRESH
from plugins.oauth2_server.plugin import OAuth2Server
from plugins.scopes.plugin import Scopes
from plugins.security_headers.plugin import SecurityHeaders
from secureml import Plugin
from secureml.testing import Harness
from tests.outside_issuer import proof

SITE = "https://ml.example.org"
ISSUER = f"{SITE}/oauth2"
BACK = "https://app.example.org/back"
VERIFIER = "a" * 43
PASSWORD = "correct horse battery"
TABLE = {"issuer": ISSUER, "audience": SITE}


def challenge(verifier=VERIFIER):
    """Return what S256 makes of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Witness(Plugin):
    """Keeps the private reason of each refusal, and what happened."""

    name = "witness"

    def __init__(self, config, host):
        self.reasons, self.events = [], []

    def record(self, exchange):
        self.reasons.append(exchange.problem.reason if exchange.problem else "")
        self.events += exchange.events


class OAuthApp:
    """An app with the authorization server, a person, a program of each kind, and a browser."""

    def __init__(self, folder, *, more=(), origins=(), **table):
        self.harness = harness = Harness(folder)
        self.clock, self.signing, self.clients = harness.clock, harness.signing, harness.clients
        words = {**TABLE, **table, "origins": list(origins)}
        loaded = [harness.load(OAuth2Server, words)]
        self.plugin = loaded[0].plugin
        self.server = self.plugin._server
        loaded += [harness.load(cls) for cls in (Scopes, Errors, SecurityHeaders, Witness, *more)]
        self._witness = loaded[4].plugin
        harness.signing.rotate()
        harness.clients.add("acme", scopes=["predict", "models:read"])
        harness.clients.add("partner", scopes=["predict", "models:read", "other"])
        self.server.users.add("ann", "acme", PASSWORD)
        self.app = harness.app(loaded)
        self.http = self.browser()
        self.web, self.web_secret = self.program(grants=[CODE, REFRESH], redirects=[BACK])
        self.machine, self.machine_secret = self.program(grants=[MACHINE])

    def close(self):
        self.harness.store.close()

    def browser(self):
        """Return a browser of one's own."""
        return self.app.test_client()

    def program(self, client="partner", **words):
        """Add a program and return its id and secret."""
        made, secret = self.server.clients.add(client, **words)
        return made.id, secret

    def device_program(self, **words):
        return self.program(grants=[DEVICE, REFRESH], public=True, **words)[0]

    @property
    def reason(self):
        """Why the last request was refused, "" when it was not."""
        return self._witness.reasons[-1]

    def happened(self, name):
        """Return the facts of the events of that name."""
        return [dict(event.facts) for event in self._witness.events if event.name == name]

    # -- programs ----------------------------------------------------------------------------

    def post(self, path, auth=None, headers=None, **form):
        """Return the answer to a form."""
        headers = dict(headers or {})
        if auth is not None:
            pair = ":".join(quote(word, safe="") for word in auth)
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return self.http.post(path, data=form, headers=headers, base_url=SITE)

    def token(self, auth=None, headers=None, **form):
        """Return the answer of the token endpoint."""
        return self.post("/oauth2/token", auth, headers, **form)

    def machine_token(self, **form):
        """Return tokens by client credentials."""
        auth = (self.machine, self.machine_secret)
        answer = self.token(auth, grant_type="client_credentials", **form)
        assert answer.status_code == 200, answer.json
        return answer.json

    def trade(self, code, auth=None, headers=None, **changed):
        """Return the answer to a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        }
        form = {name: value for name, value in (form | changed).items() if value is not None}
        auth = auth if auth is not None else (self.web, self.web_secret)
        return self.token(auth or None, headers, **form)

    def refresh(self, text, auth=None, headers=None, **form):
        """Return the answer to a refresh token."""
        auth = auth if auth is not None else (self.web, self.web_secret)
        form = {"grant_type": "refresh_token", "refresh_token": text, **form}
        return self.token(auth or None, headers, **form)

    def pair(self, **asked):
        """Return the tokens of a whole round."""
        answer = self.trade(self.code(**asked))
        assert answer.status_code == 200, answer.json
        return answer.json

    def ask(self, token, path="/v1/models", scheme="Bearer", **headers):
        """Return the answer to a request that carries this token."""
        words = {"Authorization": f"{scheme} {token}", **headers}
        return self.http.get(path, headers=words, base_url=SITE)

    def introspect(self, text, auth=None):
        auth = auth or (self.web, self.web_secret)
        return self.post("/oauth2/introspect", auth, token=text)

    def revoke(self, text, auth=None):
        auth = auth or (self.web, self.web_secret)
        return self.post("/oauth2/revoke", auth, token=text)

    # -- a person ----------------------------------------------------------------------------

    def request(self, **changed):
        """Return the address a program sends a browser to."""
        words = {
            "response_type": "code",
            "client_id": self.web,
            "redirect_uri": BACK,
            "scope": "models:read",
            "state": "s-1",
            "code_challenge": challenge(),
            "code_challenge_method": "S256",
        }
        kept = {name: value for name, value in (words | changed).items() if value is not None}
        return f"/oauth2/authorize?{urlencode(kept)}"

    def get(self, address, browser=None):
        return (browser or self.http).get(address, base_url=SITE)

    def submit(self, page, address, browser=None, headers=None, **form):
        """Return the answer to the form of a page."""
        proof_of_form = re.search(r'name="proof" value="([^"]+)"', page.text)
        form = {"proof": proof_of_form[1] if proof_of_form else "", **form}
        words = {"Origin": SITE, "Sec-Fetch-Site": "same-origin", **(headers or {})}
        return (browser or self.http).post(address, data=form, headers=words, base_url=SITE)

    def sign_in(self, address=None, browser=None, name="ann", password=PASSWORD):
        """Sign a person in on the way to an address."""
        address = address or self.request()
        page = self.get(address, browser)
        return self.submit(page, address, browser, step="sign-in", name=name, password=password)

    def answered(self, **changed):
        """Return what the browser of somebody signed in gets for a request."""
        assert self.sign_in().status_code == 303
        return self.get(self.request(**changed))

    def decide(self, step="allow", browser=None, **asked):
        """Go through the pages and return where the browser is sent back to."""
        address = self.request(**asked)
        page = self.get(address, browser)
        if 'value="sign-in"' in page.text:
            assert self.sign_in(address, browser).status_code == 303
            page = self.get(address, browser)
        assert page.status_code == 200, page.text
        return self.submit(page, address, browser, step=step)

    def code(self, browser=None, **asked):
        """Return a code a person has agreed to."""
        answer = self.decide(browser=browser, **asked)
        assert answer.status_code == 303, answer.text
        return emitted(answer)["code"]

    def dpop(self, key, token="", **changed):
        """Return a proof for the token endpoint, or for a request with a token."""
        words = {"iat": int(self.clock()), **changed}
        if not token:
            words = {"htm": "POST", "htu": f"{SITE}/oauth2/token", "ath": None, **words}
        return proof(key, token, **words)


def emitted(answer):
    """Return what a redirect tells the program."""
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
