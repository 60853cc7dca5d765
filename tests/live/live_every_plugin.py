"""An instance with every built-in plugin on, served twice: with `anonymous` and without it.

With it nobody is a stranger, so what a stranger gets can be seen only beside it.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from live_credentials import BACK, GATEWAY, JWT, OUTSIDE, OUTSIDE_RIGHTS, SERVER, SITE, Presented

from tests.outside_issuer import EC, write_keys

if TYPE_CHECKING:
    from live_serving import Instance, Served
    from made_certificates import Authority

PLUGINS = (
    "transport", "rate_limit", "brute_force", "anomaly", "api_keys", "jwt", "oauth2",
    "oauth2_server", "gateway", "client_certificates", "anonymous", "scopes", "input_rules",
    "explain", "theft_guard", "output_rules", "uncertainty", "model_integrity", "security_headers",
    "errors", "api_docs", "open_inference", "security_txt", "metrics", "access_log",
    "audit_log", "traces",
)  # fmt: skip
_CLIENTS = ", ".join(f'{name} = "{client}"' for name, client in OUTSIDE.items())
_SCOPES = ", ".join(f'"{name}" = {json.dumps(ours)}' for name, ours in OUTSIDE_RIGHTS.items())
# Thousands of refusals from one address are what is asked for here.
SETTINGS = f"""
[plugins.rate_limit]
ban_after = 0

[plugins.brute_force]
headers = ["X-API-Key", "Authorization", "X-Gateway-Identity"]
free_attempts = 1000
free_attempts_per_address = 100000

[plugins.uncertainty]
models = ["breast-cancer"]

[plugins.explain]
models = ["breast-cancer"]

[plugins.security_txt]
contact = ["mailto:security@example.org"]
expires = "2099-12-31T00:00:00Z"

[plugins.anomaly]
client_action = "observe"
address_action = "observe"

[plugins.jwt]
issuer = "{JWT["issuer"]}"
audience = "{JWT["audience"]}"
traded = ["api_keys", "client_certificates"]

[plugins.oauth2_server]
issuer = "{SERVER["issuer"]}"
audience = "{SERVER["audience"]}"

[plugins.oauth2]
origins = ["{SITE}"]

[[plugins.oauth2.issuers]]
name = "idp"
issuer = "https://id.example.org"
audience = "{SITE}"
keys = "file:jwks.json"
clients = {{ {_CLIENTS} }}
scopes = {{ {_SCOPES} }}

[[plugins.gateway.gateways]]
name = "gateway"
issuer = "{GATEWAY["issuer"]}"
audience = ["{GATEWAY["audience"]}"]
keys = "file:jwks.json"
known_clients = true
scopes = ["predict", "explain", "models:read", "metrics"]
"""


@dataclass
class Site:
    """An instance with every plugin, one server with `anonymous` and one without."""

    instance: Instance
    named: Served
    opened: Served
    credentials: dict[tuple[str, str], Presented]
    authorize: str  # the address a program sends a browser to
    routes: dict[str, set[str]]
    public: set[str]

    def path(self, route: str) -> str:
        """Return an address of a route, with what it needs to be answered well."""
        if route == "/oauth2/authorize":
            return self.authorize
        return route.replace("<model>", "breast-cancer").replace("<version>", "1")

    def connect(self, credential: tuple[str, str]) -> http.client.HTTPSConnection:
        """Return a connection, with the credential's certificate if it is one."""
        served = self.opened if credential[0] == "anonymous" else self.named
        shown = self.credentials[credential]
        if shown.certificate is None:
            return served.connect()
        trust = ssl.create_default_context(cafile=str(served.instance / "tls/ca.crt"))
        trust.load_cert_chain(*shown.certificate.write(self.instance.folder / "tls", "shown"))
        return http.client.HTTPSConnection("localhost", served.port, timeout=30, context=trust)


def configure(instance: Instance, authority: Authority) -> None:
    """Name every built-in plugin in the settings, and say whom the edge and `oauth2` believe."""
    settings = instance.folder / "secureml.toml"
    named = ", ".join(f'"{name}"' for name in PLUGINS)
    text = re.sub(
        r"plugins = \[.*?\]", f"plugins = [{named}]", settings.read_text(), flags=re.DOTALL
    )
    settings.write_text(text + SETTINGS)
    (instance.folder / "tls").mkdir(exist_ok=True)
    (instance.folder / "tls/clients.crt").write_bytes(authority.own.pem)
    write_keys(instance.folder, EC)


def address_of(program: str) -> str:
    """Return a request for a code that a person may be asked about."""
    words = {
        "response_type": "code",
        "client_id": program,
        "redirect_uri": BACK,
        "scope": "predict",
        "code_challenge": "A" * 43,
        "code_challenge_method": "S256",
    }
    return f"/oauth2/authorize?{urlencode(words)}"
