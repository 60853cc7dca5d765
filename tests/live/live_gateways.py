"""The configurations of deploy/gateways with real programs, over one served instance.

HAProxy and Caddy stand in Nginx's place, on the socket of Gunicorn; Envoy stands before an Nginx
with the bundled configuration. What is put in is what an operator puts in: names, addresses,
files.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_servers import CHECKOUT, Answer, Edge, end, free_port
from live_serving import Served, until
from made_certificates import Authority

from secureml.kit.client_certificate import thumbprint
from tests.outside_issuer import EC, EC_OTHER, jwks, make_token, write_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from live_serving import Instance

CONFIGURATIONS = CHECKOUT / "deploy" / "gateways"
ISSUER, CALLERS = "https://gateway.example.org", "https://id.example.org"
TABLES = """
[[plugins.gateway.gateways]]
name = "signing"
issuer = "{issuer}"
audience = ["ml"]
keys = "file:jwks.json"
clients = {{ alice = "acme" }}
scopes = ["predict", "models:read"]

[[plugins.gateway.gateways]]
name = "envoy"
certificates = ["{thumbprint}"]
clients = {{ bob = "acme" }}
scopes = ["predict"]
"""


def filled_in(name: str, folder: Path, edits: dict[str, str]) -> Path:
    """Write a configuration with what an operator puts in; each text must be there."""
    text = (CONFIGURATIONS / name).read_text("utf-8")
    for old, new in edits.items():
        assert old in text, (name, old)
        text = text.replace(old, new)
    file = folder / name
    file.write_text(text, "utf-8")
    return file


class Front:
    """A program in front, ended by its pid; ready once its port accepts connections."""

    def __init__(
        self, command: list[str], folder: Path, port: int, authority: Path, plain_port: int = 0,
        **environment: str,
    ) -> None:  # fmt: skip
        self.port, self.plain_port, self.authority = port, plain_port, authority
        self._log = folder / "output.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
                env=os.environ | {"HOME": str(folder)} | environment,
            )  # fmt: skip
        if not until(self._is_ready, 60):
            self.stop()
            raise AssertionError(self.output()[-3000:])

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            return False
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        end(self._process.pid)
        self._process.wait()

    # -- asking ------------------------------------------------------------------------------

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def ask(
        self, method: str, path: str, *headers: tuple[str, str], body: bytes = b"",
        host: str = "localhost", source: str = "127.0.0.1", plain: bool = False,
    ) -> Answer:  # fmt: skip
        """Send one request over a connection of its own; headers go out as given, repeats too."""
        where: dict[str, Any] = {"timeout": 30, "source_address": (source, 0)}
        connection = (
            http.client.HTTPConnection("127.0.0.1", self.plain_port, **where)
            if plain
            else http.client.HTTPSConnection("localhost", self.port, context=self.trust(), **where)
        )
        with closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            length = [("Content-Length", str(len(body)))] if body else []
            for name, value in [("Host", host), *length, *headers]:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are over TLS and return all that comes back."""
        with closing(self.channel()) as channel:
            channel.sendall(request)
            return b"".join(iter(lambda: channel.recv(65536), b""))

    def channel(self) -> ssl.SSLSocket:
        """Return a connection over which nothing was sent yet."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        return self.trust().wrap_socket(plain, server_hostname="localhost")


class Behind:
    """One served instance that takes identities of a gateway by its token or certificate."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        self.instance, self.folder = instance, folder
        self.key = instance.key("acme")
        self.gateways = Authority(time.time(), "gateways' authority")
        self.leaf = self.gateways.sign("envoy.internal")
        self.stranger = self.gateways.sign("another.internal")
        write_keys(instance.folder, EC)
        settings = instance.folder / "secureml.toml"
        text = settings.read_text("utf-8")
        assert '"api_keys", ' in text
        text = text.replace('"api_keys", ', '"api_keys", "gateway", ')
        tables = TABLES.format(issuer=ISSUER, thumbprint=thumbprint(self.leaf.der))
        settings.write_text(text + tables, "utf-8")
        (instance.folder / "tls/gateways.crt").write_bytes(self.gateways.own.pem)
        (instance.folder / "tls/gateways.crt").chmod(0o640)
        self.served = Served(instance.folder).ready()
        card = json.loads(next(instance.folder.glob("models/*/1/card.json")).read_text())
        self.body = json.dumps({"instances": [card["golden"]["rows"][0]]}).encode()

    @property
    def edge_token(self) -> str:
        return (self.instance.folder / "keys/edge-token").read_text().strip()

    @property
    def socket(self) -> Path:
        return self.instance.folder / "run/gunicorn.sock"

    def new_folder(self, name: str) -> Path:
        made = self.folder / name
        made.mkdir(parents=True)
        return made

    # -- what stands in front ----------------------------------------------------------------

    def haproxy(self, program: str, name: str = "haproxy", **edits: str) -> Front:
        folder, port, plain = self.new_folder(name), free_port(), free_port()
        tls = self.instance.folder / "tls"
        pem = folder / "site.pem"
        pem.write_bytes((tls / "server.crt").read_bytes() + (tls / "server.key").read_bytes())
        values = {
            "log /dev/log local0": "log stdout format raw local0",
            "    user haproxy\n": "",
            "    group www-data": "    #",
            "bind :443 ssl": f"bind 127.0.0.1:{port} ssl",
            "bind :80": f"bind 127.0.0.1:{plain}",
            "/etc/haproxy/secureml.pem": str(pem),
            "ml.example.org": "localhost",
            "/run/secureml/gunicorn.sock": str(self.socket),
        }
        file = filled_in("haproxy.cfg", folder, values | edits)
        command = [program, "-db", "-f", str(file)]
        environment = {"SECUREML_EDGE_TOKEN": self.edge_token}
        return Front(command, folder, port, tls / "ca.crt", plain, **environment)

    def caddy(self, program: str, name: str = "caddy", **edits: str) -> Front:
        folder, port, plain = self.new_folder(name), free_port(), free_port()
        tls = self.instance.folder / "tls"
        values = {
            "https:// {": f"https://:{port} {{\n\tbind 127.0.0.1",
            "http:// {": f"http://:{plain} {{\n\tbind 127.0.0.1",
            "\tauto_https off": f"\thttps_port {port}\n\thttp_port {plain}\n\tauto_https off",
            "/etc/caddy/server": str(tls / "server"),
            "ml.example.org": "localhost",
            "/run/secureml/gunicorn.sock": str(self.socket),
        }
        file = filled_in("Caddyfile", folder, values | edits)
        command = [program, "run", "--adapter", "caddyfile", "--config", str(file)]
        environment = {"SECUREML_EDGE_TOKEN": self.edge_token}
        return Front(command, folder, port, tls / "ca.crt", plain, **environment)

    def nginx(self, program: str) -> Edge:
        """Return the bundled Nginx, which asks gateways for certificates and trusts their word
        about addresses from 127.0.0.1 alone; a client of the tests comes from elsewhere.
        """
        authority = self.instance.folder / "tls/gateways.crt"
        asking = f'ssl_client_certificate "{authority}";\nssl_verify_client optional;'
        sites = {
            "client_certificates": asking,
            "edge_token": f'set $edge_token "{self.edge_token}";',
        }
        ceilings = {
            "#     set_real_ip_from 10.0.0.7;": "set_real_ip_from 127.0.0.1;",
            "#     real_ip_header X-Forwarded-For;": "real_ip_header X-Forwarded-For;",
        }
        folder = self.folder / "nginx"
        return Edge(folder, [self.socket], program, sites=sites, ceilings=ceilings).start()

    def envoy(self, program: str, nginx: Edge) -> Front:
        folder, port = self.new_folder("envoy"), free_port()
        self.leaf.write(folder, "gateway")
        tls = self.instance.folder / "tls"
        for name in ("server.crt", "server.key"):
            (folder / name).write_bytes((tls / name).read_bytes())
        (folder / "nginx-ca.crt").write_bytes(nginx.authority.read_bytes())
        (folder / "jwks.json").write_text(json.dumps(jwks(EC_OTHER)))
        values = {
            "address: 0.0.0.0, port_value: 443": f"address: 127.0.0.1, port_value: {port}",
            "nginx.internal, port_value: 443": f"127.0.0.1, port_value: {nginx.port}",
            "/run/envoy/admin.sock": str(folder / "admin.sock"),
            "/etc/envoy": str(folder),
            '"ml.example.org", "ml.example.org:*"': '"localhost", "localhost:*"',
            "sni: ml.example.org": "sni: localhost",
            "exact: ml.example.org": "exact: localhost",
        }
        file = filled_in("envoy.yaml", folder, values)
        command = [program, "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1"]
        return Front(command, folder, port, tls / "ca.crt")

    # -- what was written down ---------------------------------------------------------------

    def line(self, answer: Answer) -> dict[str, Any]:
        """Return the line of the access log of an answer with an id."""
        identifier, file = answer.json()["id"], self.instance.folder / "logs/access.log"
        assert until(lambda: identifier in file.read_text("utf-8")), answer
        lines = file.read_text("utf-8").splitlines()
        found: dict[str, Any] = json.loads(next(text for text in lines if identifier in text))
        return found

    def audited(self, answer: Answer, event: str) -> bool:
        """Tell whether the audit log has an event of the request that was answered."""
        identifier = answer.json()["id"]
        files = (self.instance.folder / "logs/audit").glob("*.jsonl")
        lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
        return any(identifier in line and f'"{event}"' in line for line in lines)


def gateway_token(key: Any = EC, **changed: Any) -> tuple[str, str]:
    """Return the header of a gateway that signs for alice, but for the changes."""
    now = int(time.time())
    words = {"iss": ISSUER, "aud": "ml", "sub": "alice", "iat": now, "exp": now + 60}
    head = {"typ": "JWT", "alg": "ES256", "kid": "ec-1"}
    extra = {"client_id": None, "scope": None}
    return "X-Gateway-Identity", make_token(key, head, **words | extra | changed)


def caller_token(key: Any = EC_OTHER, **changed: Any) -> tuple[str, str]:
    """Return what a caller shows to Envoy: a token of its identity provider, for bob."""
    now = int(time.time())
    words = {"iss": CALLERS, "aud": "https://ml.example.org", "sub": "bob"}
    head = {"typ": "JWT", "alg": "ES256", "kid": "ec-2"}
    times: Sequence[tuple[str, Any]] = (("iat", now), ("exp", now + 60))
    return "Authorization", f"Bearer {make_token(key, head, **words | dict(times) | changed)}"
