"""Nginx for development: the bundled configuration unchanged, this machine's values beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from plugins.client_certificates.plugin import ClientCertificates
from plugins.transport.plugin import Transport
from secureml import settings
from secureml.cli import nginx_files
from secureml.config_error import ConfigError
from secureml.pipeline import proxy
from secureml.pipeline.proxy import Proxy
from secureml.testing import Harness

CHECKOUT = Path(__file__).parents[3]
HOSTS = ["localhost", "127.0.0.1", "::1"]


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o700)
    token = tmp_path / "keys" / "edge-token"
    token.write_text("TOKEN\n")
    token.chmod(0o600)
    (tmp_path / "nginx").mkdir()
    say(tmp_path)
    return tmp_path


def say(folder, *, token="file:keys/edge-token", more="", transport=""):
    """Write the settings of an instance."""
    (folder / "secureml.toml").write_text(
        '[secureml]\nprofile = "development"\nplugins = ["transport"]\n'
        f"{more}\n[plugins.transport]\ntrusted = ['unix']\nhosts = {HOSTS}\n"
        f"edge_token = '{token}'\n{transport}\n"
    )


def write(instance, bind="127.0.0.1", port=8443, more=()):
    found = settings.read(instance)
    return nginx_files.command("nginx", found, required(instance, more), CHECKOUT, bind, port)


def required(instance, more=()):
    """Return what transport, with the table of the settings, and other plugins need."""
    harness, table = Harness(instance), settings.read(instance).plugin_tables["transport"]
    return proxy.required([harness.load(Transport, table), *map(harness.load, more)])


def sites(instance):
    return instance / "nginx" / "deploy" / "nginx"


def test_the_configuration_is_the_bundled_one_to_the_byte(instance):
    command = write(instance)
    found = instance / "nginx" / "nginx.conf"
    assert found.read_bytes() == (CHECKOUT / "nginx.conf").read_bytes()
    assert command == ["nginx", "-p", f"{found.parent}/", "-c", str(found), "-g", "daemon off;"]
    for name in nginx_files.FIXED:
        bundled = CHECKOUT / "deploy" / "nginx" / name
        assert (sites(instance) / name).read_bytes() == bundled.read_bytes()


def test_every_file_the_configuration_includes_is_written(instance):
    write(instance)
    text = "".join(
        path.read_text() for path in [instance / "nginx/nginx.conf", *sites(instance).iterdir()]
    )
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["include"] and "*" not in words[1] and "mime.types" not in words[1]:
            assert (instance / "nginx" / words[1].strip(';"')).exists(), line


@pytest.mark.parametrize("before", [None, 0o644])
def test_what_holds_the_token_is_for_us_alone_also_where_it_was_open(instance, before):
    if before:
        write(instance)
        (sites(instance) / "edge_token.conf").chmod(before)
    mask = os.umask(0)
    try:
        write(instance)
    finally:
        os.umask(mask)
    path = sites(instance) / "edge_token.conf"
    assert path.read_text() == 'set $edge_token "TOKEN";\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_values_are_this_machines(instance):
    values = nginx_files.site_values(instance, required(instance), "::1", 9000)
    assert values["listen.conf"] == "listen [::1]:9000 ssl http2;\n"
    assert values["names.conf"] == "server_name localhost 127.0.0.1 [::1];\n"
    assert values["upstream.conf"] == f'server "unix:{instance}/run/gunicorn.sock";\n'
    assert f'ssl_certificate_key "{instance}/tls/server.key";' in values["certificate.conf"]


@pytest.mark.parametrize(("uid", "said"), [(0, True), (1000, False)])
def test_only_root_says_as_whom_nginx_runs(instance, monkeypatch, uid, said):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    values = nginx_files.site_values(instance, required(instance), "127.0.0.1", 1)
    assert values["process.conf"].startswith("user root;\n") is said


def test_written_again_a_changed_port_is_the_new_one(instance):
    write(instance, port=1)
    write(instance, port=2)
    assert (sites(instance) / "listen.conf").read_text() == "listen 127.0.0.1:2 ssl http2;\n"


@pytest.mark.parametrize("content", [None, b"", b"\xff", b'a"; evil', b"a$b", b"two words"])
def test_a_token_that_cannot_be_written_for_nginx_is_told_in_one_line(instance, content):
    token = instance / "keys" / "edge-token"
    token.unlink()
    if content is not None:
        token.write_bytes(content)
        token.chmod(0o600)
    with pytest.raises(ConfigError) as refused:
        write(instance)
    assert "\n" not in str(refused.value)
    assert "fix: " in str(refused.value)


def test_nginx_is_given_the_token_that_the_application_asks_for(instance, monkeypatch):
    monkeypatch.setenv("EDGE", "from-elsewhere")
    say(instance, token="env:EDGE")
    write(instance)
    assert (sites(instance) / "edge_token.conf").read_text() == (
        'set $edge_token "from-elsewhere";\n'
    )


@pytest.mark.parametrize(
    ("host", "found"),
    [("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("a.b", "a.b")],
)
def test_an_ipv6_address_is_bracketed_once(host, found):
    assert nginx_files.bracketed(host) == found


def test_certificates_of_clients_are_asked_for_where_their_authorities_lie(instance):
    written = sites(instance) / "client_certificates.conf"
    tls = instance / "tls"
    tls.mkdir(exist_ok=True)
    write(instance, more=[ClientCertificates])
    assert written.read_text() == ""
    (tls / "clients.crt").write_text("an authority")
    write(instance)
    assert written.read_text() == "", "no enabled plugin looks at them"
    write(instance, more=[ClientCertificates])
    asked = f'ssl_client_certificate "{tls}/clients.crt";\nssl_verify_client optional;\n'
    assert written.read_text() == asked
    (tls / "clients.crl").write_text("a list")
    write(instance, more=[ClientCertificates])
    assert written.read_text() == f'{asked}ssl_crl "{tls}/clients.crl";\n'


def test_without_a_plugin_that_needs_a_proxy_nginx_serves_this_machine_and_sends_no_token(instance):
    values = nginx_files.site_values(instance, Proxy(), "127.0.0.1", 1)
    assert values["names.conf"] == "server_name localhost 127.0.0.1 [::1];\n"
    assert values["edge_token.conf"] == 'set $edge_token "";\n'


def test_what_the_settings_say_is_what_nginx_is_told(instance):
    more = "[payload]\nbody = '8MiB'\n[server]\ntimeout = 120\n"
    say(instance, more=more, transport='allow_origins = ["https://a.example", "http://[::1]:3000"]')
    write(instance)
    emitted = (sites(instance) / nginx_files.APPLICATION).read_text()
    assert "\nclient_max_body_size 8388608;\n" in emitted
    assert "\nproxy_read_timeout 125s;\n" in emitted
    assert '    "~^https://a\\.example$" "https://a.example";\n' in emitted
    assert '    "~^http://\\[::1\\]:3000$" "http://[::1]:3000";\n' in emitted


def test_the_file_that_is_shipped_is_the_one_of_the_defaults(instance):
    shipped = CHECKOUT / "deploy" / "nginx" / nginx_files.APPLICATION
    assert shipped.read_text() == nginx_files.application_conf(settings.read(instance), Proxy())
