"""The configurations of deploy/gateways say what nginx.conf and the application say."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from plugins.api_docs.plugin import ApiDocs
from plugins.scopes.plugin import Scopes
from secureml import Plugin, Principal
from secureml.pipeline.problems import CATALOGUE
from secureml.testing import Harness

yaml = pytest.importorskip("yaml")
CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "deploy" / "gateways"
FILES = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir() if path.is_file()}
PAGE = (CHECKOUT / "docs/gateways.md").read_text("utf-8")
NGINX = (CHECKOUT / "nginx.conf").read_text("utf-8")
FORWARDED = (CHECKOUT / "deploy/nginx/forwarded.conf").read_text("utf-8")
HAPROXY, CADDY = FILES["haproxy.cfg"], FILES["Caddyfile"]
RUN = {"haproxy.cfg", "Caddyfile", "envoy.yaml"}
ARN = "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_A"


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_file_says_at_its_head_and_in_the_table_whether_it_is_run(name):
    head = "\n".join(FILES[name].splitlines()[:8])
    (row,) = [line for line in PAGE.splitlines() if f"(../deploy/gateways/{name})" in line]
    cell = row.split("|")[3].strip()
    assert ("Run in the tests" in head) == (name in RUN) == (cell == "yes"), row
    assert ("NOT RUN" in head) == (name not in RUN) == cell.startswith("no"), row
    live = (CHECKOUT / "tests/live/live_gateways.py").read_text("utf-8")
    assert (f'"{name}"' in live) == (name in RUN)


def test_tls_is_the_profile_of_nginx():
    (line,) = re.findall(r"ssl_ciphers ([^;]+);", NGINX)
    assert f"ssl-default-bind-ciphers {line}\n" in HAPROXY
    suites = line.split(":")
    envoy = yaml.safe_load(FILES["envoy.yaml"])
    (chain,) = envoy["static_resources"]["listeners"][0]["filter_chains"]
    parameters = chain["transport_socket"]["typed_config"]["common_tls_context"]["tls_params"]
    assert parameters["cipher_suites"] == suites
    (caddy,) = re.findall(r"ciphers (TLS_.+)", CADDY)
    # By the names of the registry: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is one.
    assert [_openssl_name(word) for word in caddy.split()] == suites
    assert "ssl-min-ver TLSv1.2" in HAPROXY
    assert "protocols tls1.2 tls1.3" in CADDY


def _openssl_name(word):
    exchange, cipher = word.removeprefix("TLS_").split("_WITH_")
    cipher = cipher.replace("AES_", "AES").replace("_POLY1305_SHA256", "_POLY1305")
    return f"{exchange}-{cipher}".replace("_", "-")


def test_the_refusals_of_haproxy_and_caddy_are_those_of_the_catalogue():
    found = [json.loads(text) for text in re.findall(r"lf-string '(\{.+?\})'", HAPROXY)]
    assert len(found) > 10
    for body in found:
        kind = CATALOGUE[body["code"]]
        assert (body["status"], body["title"]) == (kind.status, kind.title)
        assert body["type"] == f"urn:secureml:problem:{kind.code}"
    rows = re.findall(r'^\t\t\t(\d{3}|default) (\w+) "(.+)"$', CADDY, re.MULTILINE)
    assert len(rows) > 10
    for status, code, title in rows:
        kind = CATALOGUE[code]
        assert (status, title) == (str(kind.status) if code != "internal_error" else "default",
                                   kind.title)  # fmt: skip
    for status, code, title in _aws()["REFUSALS"].values():
        assert CATALOGUE[code][1:] == (status, title)


def test_every_header_that_nginx_overwrites_or_removes_is_removed_there():
    names = re.findall(r"^proxy_set_header (\S+)", FORWARDED, re.MULTILINE)
    names = [name for name in names if name not in ("Connection", "Host")]
    assert len(names) > 40
    set_again = {*re.findall(r"set-header (\S+) ", HAPROXY)}
    patterns = [re.compile(word) for word in re.findall(r"del-header (\S+) -m reg", HAPROXY)]
    removed = re.findall(r"request_header -(\S+)", CADDY)
    for name in names:
        lower = name.lower()
        assert any(p.search(lower) for p in patterns) or name in set_again, name
        assert any(fnmatchcase(lower, word.lower()) for word in removed) or (
            f"header_up {name} " in CADDY
        ), name


def test_what_is_set_is_all_that_the_application_reads():
    for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Request-ID", "X-SecureML-Edge"):
        assert f"set-header {name} " in HAPROXY
        assert f"header_up {name} " in CADDY
    assert not re.search(r"add-header|option forwardfor", HAPROXY)


def test_methods_paths_and_limits_are_those_of_nginx():
    (methods,) = set(re.findall(r"\^\(\?:(GET\|HEAD\|POST[A-Z|]+)\)\$", NGINX))
    words = methods.replace("|", " ")
    assert f"unless {{ method {words} }}" in HAPROXY
    assert f"not method {words}" in CADDY
    application = (CHECKOUT / "deploy/nginx/application.conf").read_text("utf-8")
    (body,) = re.findall(r"client_max_body_size (\d+);", application)
    (seconds,) = re.findall(r"proxy_read_timeout (\d+s);", application)
    assert f"timeout server {seconds}" in HAPROXY
    assert f"response_header_timeout {seconds}" in CADDY
    assert int(body) == 1024 * 1024
    assert "max_size 1MiB" in CADDY
    for name in ("envoy.yaml", "apisix.yaml"):
        assert body in FILES[name]


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        ("/v1/models", False), ("/v1/models/a-b/predict", False), ("/v1/%20x", False),
        ("/v1//x", True), ("/v1/./x", True), ("/v1/%2e%2E/x", True), ("/v1/x/..", True),
        ("/a%2fb", True), ("/a%5Cb", True), ("/a\\b", True), ("/%00", True), ("/%7f", True),
        ("/\xe9", True), ("/a..b", False),
    ],
)  # fmt: skip
def test_odd_paths_are_odd_to_all_three(path, odd):
    haproxy = re.findall(r"path_reg -- '(.+?)'", HAPROXY)
    assert any(re.search(word, path) for word in haproxy) is odd
    (caddy,) = re.findall(r"orig_uri\} `(.+)`", CADDY)
    assert bool(re.search(caddy, path)) is odd
    assert bool(re.search(caddy, f"/v1/models?x={path}")) is False


@pytest.mark.parametrize("name", ["kong.yaml", "apisix.yaml", "envoy.yaml"])
def test_the_written_files_are_yaml_and_verify_nginx(name):
    text = FILES[name]
    assert yaml.safe_load(text)
    assert re.search(r"tls_verify: true|proxy_ssl_verify on;|match_typed_subject_alt_names", text)
    assert "retries: 0" in text


# -- AWS -----------------------------------------------------------------------------------------


def _aws():
    return runpy.run_path(str(FOLDER / "aws_openapi.py"))


class Somebody(Plugin):
    """Names everybody who sends a key."""

    name = "somebody"
    credential_header = "X-API-Key"

    def identify(self, exchange):
        if "HTTP_X_API_KEY" not in exchange.request.environ:
            return None
        scopes = frozenset({"predict", "models:read", "metrics"})
        return Principal("c", "c", scopes, frozenset({"*"}), "", "somebody", "1")


@pytest.fixture
def described(tmp_path):
    """Our own description, as a running instance gives it."""
    harness = Harness(tmp_path)
    app = harness.app([harness.load(cls) for cls in (ApiDocs, Somebody, Scopes)])
    answer = app.test_client().get("/openapi.json", headers={"X-API-Key": "k"})
    assert answer.status_code == 200
    yield answer.json
    harness.close()


def test_the_import_for_aws_has_every_route_of_ours_with_its_integration(described, tmp_path):
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(described))
    command = [sys.executable, str(FOLDER / "aws_openapi.py"), str(file)]
    more = ["--upstream", "https://nginx.example.org/", "--user-pool", ARN]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=True)
    made = json.loads(done.stdout)

    assert made["openapi"] == "3.0.1"
    assert set(made["paths"]) == set(described["paths"]) - {"/metrics"}
    for path, item in made["paths"].items():
        assert set(item) == set(described["paths"][path])
        for method, operation in item.items():
            integration = operation["x-amazon-apigateway-integration"]
            assert integration["uri"] == f"https://nginx.example.org{path}"
            assert integration["httpMethod"] == method.upper()
            named = [each["name"] for each in operation.get("parameters", [])]
            assert named == re.findall(r"\{(\w+)\}", path)
    assert "$ref" not in done.stdout


def test_no_identity_that_a_caller_writes_passes_aws(described):
    made = _aws()["convert"](described, "https://nginx.example.org", ARN)
    public = {"/healthz", "/readyz"}
    for path, item in made["paths"].items():
        for operation in item.values():
            mapped = operation["x-amazon-apigateway-integration"]["requestParameters"]
            found = mapped["integration.request.header.X-Gateway-Identity"]
            assert found == ("''" if path in public else "context.authorizer.claims.sub"), path
            assert ("security" in operation) == (path not in public)
            address = mapped["integration.request.header.X-Caller-Address"]
            assert address == "context.identity.sourceIp"


def test_an_upstream_without_tls_is_refused_for_aws(tmp_path):
    command = [sys.executable, str(FOLDER / "aws_openapi.py"), str(tmp_path / "x")]
    more = ["--upstream", "http://nginx.example.org", "--user-pool", ARN]
    done = subprocess.run(
        [*command, *more], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "fix: name Nginx's https address" in done.stderr
