"""``secureml serve``: what stops it before anything runs, and what it starts and says.

That real servers answer, and that nothing outlives them, is proved in tests/live.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from contextlib import closing
from datetime import timedelta

import pytest

from secureml.cli import certificates, serve
from secureml.config_error import ConfigError


class Servers:
    """Stands for the processes, and keeps what would have been started."""

    started: list[list[str]]
    stops: list[signal.Signals]

    def __init__(self, folder, instance):
        Servers.started, Servers.stops, Servers.stopped = [], [], False

    def start(self, command, stop=signal.SIGTERM):
        Servers.started.append(command)
        Servers.stops.append(stop)

    def demand_start(self):
        """Be there."""

    def watch(self):
        raise KeyboardInterrupt

    def stop(self):
        Servers.stopped = True


@pytest.fixture
def ask(type_command, fresh_instance, monkeypatch):
    """Type `serve` on a machine whose servers start at once."""
    monkeypatch.setattr(serve, "Running", Servers)
    monkeypatch.setattr(serve, "_is_ready", lambda *words: True)
    monkeypatch.setattr(serve, "_wait_for_socket", lambda *words: None)
    monkeypatch.setattr(serve, "_find_nginx", lambda: "/usr/sbin/nginx")
    Servers.started = []

    def ask_it(*words):
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        words = words if "--port" in words else [*words, "--port", port]
        return type_command("serve", *words, "--instance", fresh_instance)

    return ask_it


# -- what stops it --------------------------------------------------------------------------------


def one_line(said, *names):
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said
    assert said.err.startswith("secureml: ")
    for name in [*names, "; fix: "]:
        assert name in said.err
    assert Servers.started == []


def test_a_busy_port_is_one_line(ask):
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        port = holder.getsockname()[1]
        one_line(ask("--port", port), f"cannot listen on 127.0.0.1:{port} (Address already in use)")


@pytest.mark.parametrize("bind", ["nonsense..x", "192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_ours_is_one_line(ask, bind):
    one_line(ask("--bind", bind), f"cannot listen on {bind}:")


@pytest.mark.parametrize("name", ["server.crt", "server.key"])
def test_half_a_certificate_is_one_line(ask, fresh_instance, name):
    (fresh_instance / "tls" / name).unlink()
    one_line(ask(), f"{fresh_instance / 'tls'}", "secureml init")


def test_an_expired_certificate_is_one_line(ask, fresh_instance):
    tls = fresh_instance / "tls"
    for end in ("crt", "key"):
        (tls / f"server.{end}").unlink()
    certificates.make(tls, ["localhost"], certificates.utc_now() - timedelta(days=400))
    one_line(ask(), f"{tls / 'server.crt'}: valid only until ")


def test_no_model_or_another_than_the_welcome_wants_is_one_line(ask, fresh_instance):
    one_line(ask("--welcome", "other"), "there is no model 'other'", "secureml models demo")
    shutil.rmtree(fresh_instance / "models")
    one_line(ask(), "no model is sealed yet")


def test_a_missing_edge_token_is_told_before_anything_starts(ask, fresh_instance):
    (fresh_instance / "keys" / "edge-token").unlink()
    one_line(ask(), f"{fresh_instance / 'keys/edge-token'}: ")


def test_bad_settings_are_one_line(ask, fresh_instance):
    with (fresh_instance / "secureml.toml").open("a") as file:
        file.write("[nothing]\n")
    one_line(ask(), "[nothing]")


@pytest.mark.parametrize("words", [["--no-nginx"], []])
def test_production_is_not_served_without_nginx(ask, fresh_instance, monkeypatch, words):
    """A few clients that send slowly hold every thread of Gunicorn."""
    if not words:
        monkeypatch.setattr(serve, "_find_nginx", lambda: None)
    settings = fresh_instance / "secureml.toml"
    text = settings.read_text()
    assert 'profile = "development"' in text
    text = text.replace('profile = "development"', 'profile = "production"\naccept_risk = RISKS')
    settings.write_text(text.replace("RISKS", '["audit_log", "brute_force"]'))
    for file in ("server.crt", "server.key"):
        (fresh_instance / "tls" / file).unlink()  # production has none, and none would help
    one_line(
        ask(*words),
        f"{settings}: [secureml] profile: the production profile needs Nginx",
        "install Nginx",
    )


def test_production_without_a_certificate_is_not_sent_to_a_command_that_makes_none(
    ask, fresh_instance
):
    settings = fresh_instance / "secureml.toml"
    text = settings.read_text().replace('profile = "development"', 'profile = "production"')
    settings.write_text(text)
    (fresh_instance / "tls/server.crt").unlink()
    said = ask()
    one_line(said, "server.crt: certificate or key cannot be read", "docs/install.md")
    assert "for a new pair" not in said.err


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_nginx_nobody_but_this_machine_is_served(ask, bind, monkeypatch):
    monkeypatch.setattr(serve, "_check_port", lambda *words: None)
    one_line(ask("--no-nginx", "--bind", bind), f"{bind} is not loopback", "--bind 127.0.0.1")


@pytest.mark.parametrize(("length", "fits"), [(107, True), (108, False)])
def test_a_path_too_long_for_a_socket_is_one_line_and_not_gunicorns_traceback(
    tmp_path, length, fits
):
    folder = tmp_path / "run"
    folder /= "x" * (length - len(os.fsencode(folder / "gunicorn.sock")) - 1)
    folder.mkdir(parents=True)
    assert len(os.fsencode(folder / "gunicorn.sock")) == length
    if not fits:
        with pytest.raises(ConfigError, match="too long for a unix socket; fix: use an instance"):
            serve._clear_sockets(folder)
        return
    serve._clear_sockets(folder)
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.bind(str(folder / "gunicorn.sock"))  # the kernel agrees


def test_a_socket_left_behind_is_removed_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "gunicorn.sock"
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(ConfigError, match="another server is running in this instance folder"):
            serve._clear_sockets(tmp_path)
        assert path.exists()
    serve._clear_sockets(tmp_path)
    assert not path.exists()


# -- what it starts, and what it says -------------------------------------------------------------


def test_gunicorn_stands_on_its_socket_behind_nginx(ask, fresh_instance):
    said = ask()
    assert said.code == 0
    gunicorn, nginx = Servers.started
    assert gunicorn[:4] == [sys.executable, "-P", "-m", "gunicorn"]
    assert gunicorn[-2:] == ["--bind", f"unix:{fresh_instance}/run/gunicorn.sock"]
    assert nginx[0] == "/usr/sbin/nginx"
    assert Servers.stopped
    assert Servers.stops == [signal.SIGTERM, signal.SIGQUIT]  # each finishes what it has begun
    assert said.err == "stopping\n"


@pytest.mark.parametrize("words", [["--no-nginx"], []])
def test_without_nginx_gunicorn_has_the_certificate_and_it_is_said(
    ask, fresh_instance, monkeypatch, words
):
    if not words:
        monkeypatch.setattr(serve, "_find_nginx", lambda: None)
    said = ask(*words, "--port", "18443", "--bind", "127.0.0.1")
    (gunicorn,) = Servers.started
    assert gunicorn[gunicorn.index("--bind") + 1] == "127.0.0.1:18443"
    assert gunicorn[gunicorn.index("--certfile") + 1] == str(fresh_instance / "tls/server.crt")
    assert "Nginx is not used: Gunicorn terminates TLS itself" in said.err


def test_an_ipv6_address_is_written_as_gunicorn_reads_it(ask):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    said = ask("--no-nginx", "--bind", "::1")
    if "cannot listen" in said.err:
        pytest.skip("this machine has no IPv6 on loopback")
    (gunicorn,) = Servers.started
    assert gunicorn[gunicorn.index("--bind") + 1].startswith("[::1]:")


def test_it_says_where_and_by_whom(ask, fresh_instance):
    said = ask("--port", "18443")
    assert said.out == (
        f"address    https://localhost:18443\nauthority  {fresh_instance / 'tls/ca.crt'}\n"
    )


def test_a_welcome_is_a_key_and_a_line_of_its_own(ask, monkeypatch):
    greeting = {"key": "sml_x", "curl": "curl https://localhost"}
    monkeypatch.setattr(serve.welcome, "greet", lambda *words: greeting)
    lines = ask("--welcome", "breast-cancer").out.splitlines()
    assert lines[2:] == ["API key    sml_x", "", "curl https://localhost"]


@pytest.mark.parametrize("nginx", [True, False])
def test_for_scripts_it_is_one_line_of_json(ask, fresh_instance, monkeypatch, nginx):
    greeting = {"key": "sml_x", "curl": "curl https://localhost"}
    monkeypatch.setattr(serve.welcome, "greet", lambda *words: greeting)
    words = [] if nginx else ["--no-nginx"]
    said = ask(*words, "--welcome", "breast-cancer", "--port", "18443", "--json")
    assert said.out.count("\n") == 1
    assert json.loads(said.out) == {
        "address": "https://localhost:18443",
        "authority": str(fresh_instance / "tls/ca.crt"),
        "nginx": nginx,
        **greeting,
    }


def test_the_servers_are_stopped_whatever_happens(ask, monkeypatch):
    def fail(self):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Servers, "watch", fail)
    assert ask().code == 1
    assert Servers.stopped


def test_one_that_is_never_ready_is_told(ask, monkeypatch):
    monkeypatch.setattr(serve, "_is_ready", lambda *words: False)
    monkeypatch.setattr(serve, "PATIENCE", 0.0)
    said = ask()
    assert (said.code, said.out) == (1, "")
    assert said.err == "Error: the server was not ready within 0 seconds\n"
    assert Servers.stopped
