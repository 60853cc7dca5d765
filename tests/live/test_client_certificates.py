"""Client certificates over real TLS: Nginx proves them, and two workers know whose they are."""

from __future__ import annotations

import http.client
import json
import shlex
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import CHECKOUT, Answer
from live_serving import Served, UnixConnection, alone, ask, until
from test_one_error_contract import hold

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_certificates import SERVER_AUTH, Authority, Minted, self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from live_serving import Instance

pytestmark = pytest.mark.live

NAME = "batch.example.org"
VERIFY = "X-SecureML-Client-Verify"
# Every name under which some proxy sends a certificate on, and ours.
NAMES = (
    "X-SecureML-Client-Cert", "Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-SSL-Cert",
    "X-SSL-Client-Cert", "SSL-Client-Cert", "X-Forwarded-Client-Cert", "X-ARR-ClientCert",
    "X-Forwarded-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Leaf",
)  # fmt: skip


class Site:
    """A served instance whose Nginx trusts two authorities of clients."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        self.instance, self.folder = instance, folder
        folder.mkdir()
        self.authority = Authority(time.time())
        self.other = Authority(time.time(), "another authority")
        self.revoked = self.authority.sign("revoked.example.org")
        tls = instance.folder / "tls"
        (tls / "clients.crt").write_bytes(self.authority.own.pem + self.other.own.pem)
        lists = self.authority.revoke(self.revoked) + self.other.revoke()
        (tls / "clients.crl").write_bytes(lists)
        self.keys = {name: instance.key(name) for name in ("strict", "plain", "second")}
        settings = instance.folder / "secureml.toml"
        text = settings.read_text("utf-8")
        assert '"api_keys", ' in text
        text = text.replace('"api_keys", ', '"api_keys", "client_certificates", ')
        text += '\n[plugins.client_certificates]\nrequire = ["strict"]\n'
        settings.write_text(text, "utf-8")

    def serve(self) -> None:
        self.served = Served(self.instance.folder)
        self.served.ready()

    def bind(self, client: str, minted: Minted) -> str:
        """Bind a certificate at the command line and return the binding's id."""
        file, _ = minted.write(self.folder, "bind")
        made = self.instance.run("certificates", "add", client, "--certificate", str(file))
        return str(made["id"])

    def end(self, binding: str) -> None:
        self.instance.run("certificates", "end", binding)

    def trust(self, minted: Minted | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.instance.folder / "tls/ca.crt"))
        if minted is not None:
            context.load_cert_chain(*minted.write(self.folder, "show"))
        return context

    def connect(self, minted: Minted | None) -> http.client.HTTPSConnection:
        port, trust = self.served.port, self.trust(minted)
        return http.client.HTTPSConnection("localhost", port, timeout=30, context=trust)

    def ask(self, minted: Minted | None, key: str = "", **headers: str) -> Answer:
        with closing(self.connect(minted)) as connection:
            return ask(connection, "GET", "/v1/models", key, **headers)

    def by_each(self, minted: Minted) -> list[int]:
        """Return what each worker answers, asked by itself with what Nginx would say."""
        workers, found = self.served.workers(), []
        assert len(workers) == 2
        for worker in workers:
            with (
                alone(worker, workers),
                closing(UnixConnection(self.instance.folder)) as connection,
            ):
                said = {
                    "X_SecureML_Client_Cert": minted.header,
                    VERIFY.replace("-", "_"): "SUCCESS",
                }
                answer = ask(connection, "GET", "/v1/models", "", **connection.edge, **said)
                found.append(answer.status)
        return found


@pytest.fixture(scope="module")
def site(
    prepared: Instance, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Iterator[Site]:
    tool("nginx", "apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("mtls")
    made = Site(prepared.copy(folder / "instance"), folder / "clients")
    made.serve()
    yield made
    made.served.stop()


def logged(site: Site) -> dict[str, Any]:
    """Return the last line of the access log."""
    lines = (site.instance.folder / "logs/access.log").read_text("utf-8").splitlines()
    found: dict[str, Any] = json.loads(lines[-1])  # the application ends each line in one write
    return found


def test_the_right_certificate_is_enough_and_is_named_in_the_log(site: Site) -> None:
    leaf = site.authority.sign()
    binding = site.bind("plain", leaf)
    assert site.ask(leaf).status == 200
    assert until(lambda: logged(site)["credential"] == binding)
    line = logged(site)
    assert (line["client"], line["auth"], line["status"]) == ("plain", "client_certificates", 200)


def test_without_a_certificate_a_key_is_as_good_as_before(site: Site, catalogue: Any) -> None:
    assert site.ask(None, site.keys["plain"]).status == 200
    hold(site.ask(None), "unauthorized", catalogue)


def test_a_certificate_that_nginx_refuses_gets_our_problem_body(site: Site, catalogue: Any) -> None:
    """Of an unknown authority, of none, expired, too early, for servers, and revoked."""
    now = time.time()
    for wrong in (
        Authority(now).sign(),
        Authority(now, "somebody").sign(),
        self_signed(now),
        site.authority.sign(days=(-9, -1)),
        site.authority.sign(days=(1, 9)),
        site.authority.sign(usage=SERVER_AUTH),
        site.revoked,
    ):
        hold(site.ask(wrong, site.keys["plain"]), "forbidden", catalogue)
    for reason in ("certificate has expired", "certificate revoked"):
        assert until(lambda reason=reason: f"FAILED:{reason}" in reasons(site)), reasons(site)


def reasons(site: Site) -> set[str]:
    """Return what Nginx thought of every certificate so far; a line is written after its answer."""
    whole = (site.instance.folder / "logs/nginx.log").read_text("utf-8").rpartition("\n")[0]
    return {json.loads(line)["client_certificate"] for line in whole.splitlines()}


def test_a_certificate_that_is_bound_to_nobody_is_nobody(site: Site, catalogue: Any) -> None:
    """Also with the subject, the names and even the key of one that is bound."""
    bound = site.authority.sign()
    site.bind("plain", bound)
    assert site.ask(bound).status == 200
    for wrong in (site.authority.sign(), site.other.sign(), site.authority.sign(key=bound.key)):
        hold(site.ask(wrong), "unauthorized", catalogue)


def test_what_was_ended_is_refused_by_both_workers_at_once(site: Site) -> None:
    leaf = site.authority.sign()
    binding = site.bind("plain", leaf)
    assert site.by_each(leaf) == [200, 200]
    site.end(binding)
    assert site.by_each(leaf) == [401, 401]
    assert {site.ask(leaf).status for _ in range(10)} == {401}


def test_an_open_connection_does_not_outlive_its_binding(site: Site) -> None:
    leaf = site.authority.sign()
    binding = site.bind("plain", leaf)
    with closing(site.connect(leaf)) as connection:
        assert ask(connection, "GET", "/v1/models").status == 200
        site.end(binding)
        assert ask(connection, "GET", "/v1/models").status == 401


def test_a_resumed_session_brings_its_certificate_along_and_nothing_more(site: Site) -> None:
    """The handshake is shorter then; who it is, is asked all the same."""
    leaf = site.authority.sign()
    binding = site.bind("plain", leaf)
    trust = site.trust(leaf)
    session, statuses, resumed = None, [], []
    for number in range(3):
        if number == 2:
            site.end(binding)
        with closing(site.connect(None)) as connection:
            plain = socket.create_connection(("localhost", site.served.port), timeout=30)
            connection.sock = trust.wrap_socket(plain, server_hostname="localhost", session=session)
            statuses.append(ask(connection, "GET", "/v1/models").status)
            session = connection.sock.session
            resumed.append(connection.sock.session_reused)
    assert statuses == [200, 200, 401]
    assert resumed == [False, True, True]


def test_a_name_lets_a_renewed_certificate_in_and_no_other_authoritys(
    site: Site, catalogue: Any
) -> None:
    file, _ = site.authority.own.write(site.folder, "ca")
    name = "renewed.example.org"
    words = ("--subject-dns", name, "--authority", str(file))
    made = site.instance.run("certificates", "add", "second", *words)
    first, renewed = site.authority.sign(name), site.authority.sign(name)
    assert [site.ask(each).status for each in (first, renewed)] == [200, 200]
    assert site.by_each(renewed) == [200, 200]
    hold(site.ask(site.other.sign(name)), "unauthorized", catalogue)
    site.end(made["id"])
    assert site.by_each(renewed) == [401, 401]


def test_a_certificate_and_a_key_must_be_one_clients(site: Site, catalogue: Any) -> None:
    leaf = site.authority.sign()
    site.bind("plain", leaf)
    assert site.ask(leaf, site.keys["plain"]).status == 200
    hold(site.ask(leaf, site.keys["second"]), "malformed_request", catalogue)


def test_a_client_that_must_show_its_certificate_gains_nothing_by_a_stolen_key(
    site: Site, catalogue: Any
) -> None:
    key, leaf = site.keys["strict"], site.authority.sign("strict.example.org")
    hold(site.ask(None, key), "unauthorized", catalogue)
    binding = site.bind("strict", leaf)
    assert site.ask(leaf, key).status == 200
    assert site.ask(leaf).status == 200
    hold(site.ask(None, key), "unauthorized", catalogue)
    explained = site.instance.run("access", "explain", "strict", "GET", "/v1/models")
    assert explained["allowed"]
    why = {row["id"]: row["why"] for row in explained["credentials"]}
    assert why[binding] == "would do"
    assert why[key.split("_")[1]] == "client_certificates.required"


def test_a_true_certificate_in_a_header_proves_nothing(site: Site, catalogue: Any) -> None:
    """A certificate is public, and anybody can send one: by every name, twice, twinned."""
    leaf = site.authority.sign()
    site.bind("plain", leaf)
    pem = leaf.header
    tries: list[list[tuple[str, str]]] = [
        [(name, pem), (VERIFY, "SUCCESS"), ("X-SSL-Client-Verify", "SUCCESS")] for name in NAMES
    ]
    tries += [
        [("X-SecureML-Client-Cert", pem)] * 2 + [(VERIFY, "SUCCESS")] * 2,
        [("X_SecureML_Client_Cert", pem), ("X_SecureML_Client_Verify", "SUCCESS")],
        [("x-secureml-client-cert", pem), ("X-SecureML_Client-Cert", pem), (VERIFY, "SUCCESS")],
        [("X-SecureML-Client-Cert", pem), ("Connection", "X-SecureML-Client-Verify")],
    ]
    for headers in tries:
        hold(sent(site, None, headers), "unauthorized", catalogue)


def test_who_shows_one_certificate_and_sends_another_is_the_one_it_shows(site: Site) -> None:
    own, stolen = site.authority.sign(), site.authority.sign()
    mine, _ = site.bind("second", own), site.bind("plain", stolen)
    headers = [(name, stolen.header) for name in NAMES]
    assert sent(site, own, headers).status == 200
    assert until(lambda: logged(site)["credential"] == mine)
    headers = [("X_SecureML_Client_Cert", stolen.header)]
    assert sent(site, own, headers).status == 200
    assert until(lambda: logged(site)["credential"] == mine)


def sent(site: Site, minted: Minted | None, headers: list[tuple[str, str]]) -> Answer:
    """Send headers as they are, repeats too."""
    with closing(site.connect(minted)) as connection:
        connection.putrequest("GET", "/v1/models")
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())


def test_whoever_reaches_the_socket_without_the_edge_token_brings_nobody(
    site: Site, catalogue: Any
) -> None:
    leaf = site.authority.sign()
    site.bind("plain", leaf)
    said = {"X_SecureML_Client_Cert": leaf.header, "X_SecureML_Client_Verify": "SUCCESS"}
    with closing(UnixConnection(site.instance.folder)) as connection:
        edge = {**connection.edge, **said}
        assert ask(connection, "GET", "/v1/models", "", **edge).status == 200
        edge["X_SecureML_Edge"] = "a guess"
        hold(ask(connection, "GET", "/v1/models", "", **edge), "forbidden", catalogue)
        edge.pop("X_SecureML_Edge")
        hold(ask(connection, "GET", "/v1/models", "", **edge), "forbidden", catalogue)


def test_a_large_certificate_passes_every_hop(site: Site) -> None:
    """Sixty names: the header is far longer than one line of a usual request."""
    names = tuple(f"host-{number}.batch.department.example.org" for number in range(60))
    large = site.authority.sign(dns=names)
    assert len(large.header) > 3500
    site.bind("plain", large)
    assert site.ask(large).status == 200


def page(name: str, begins: str) -> list[str]:
    """Return the lines of a page's code that begin so, as words of a shell."""
    text = (CHECKOUT / name).read_text("utf-8")
    return [line for line in text.splitlines() if line.startswith(begins)]


def test_what_the_operations_page_has_openssl_make_opens(
    site: Site, tmp_path: Path, tool: Callable[[str, str], str]
) -> None:
    """Word for word; only that the authority's key gets no password, which one would type."""
    tool("openssl", "apt-get install openssl")
    commands = page("docs/operations.md", "openssl ")
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command) + (["-nodes"] if "clients.key -out" in command else [])
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
    (mine,) = page("plugins/client_certificates/README.md", "openssl ")
    alone = mine.replace("batch.key", "alone.key").replace("batch.crt", "alone.crt")
    subprocess.run(shlex.split(alone), cwd=tmp_path, capture_output=True, timeout=30, check=True)
    tls = site.instance.folder / "tls"
    kept = {name: (tls / name).read_bytes() for name in ("clients.crt", "clients.crl")}
    site.served.stop()
    try:
        (tls / "clients.crl").unlink()
        both = [(tmp_path / name).read_bytes() for name in ("clients.crt", "alone.crt")]
        (tls / "clients.crt").write_bytes(b"".join(both))
        site.serve()
        bind = ("certificates", "add", "plain", "--certificate")
        for name in ("batch", "alone"):
            context = site.trust(None)
            context.load_cert_chain(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
            assert status_over(site, context) == 401, name
            site.instance.run(*bind, str(tmp_path / f"{name}.crt"))
            assert status_over(site, context) == 200, name
    finally:
        site.served.stop()
        for name, content in kept.items():
            (tls / name).write_bytes(content)
        site.serve()


def status_over(site: Site, context: ssl.SSLContext) -> int:
    where = http.client.HTTPSConnection("localhost", site.served.port, timeout=30, context=context)
    with closing(where) as connection:
        return ask(connection, "GET", "/v1/models").status
