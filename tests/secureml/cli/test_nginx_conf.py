"""What Nginx must know of the settings is written by them, and `check` compares the two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.transport.plugin import Transport
from secureml import ConfigError, settings
from secureml.cli.nginx_conf import check_agreement
from secureml.pipeline import proxy
from secureml.testing import Harness

SHIPPED = Path(__file__).parents[3] / "deploy/nginx"


@pytest.fixture
def site(tmp_path):
    """An instance of the production profile whose Nginx lies beside it."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    (folder / "names.conf").write_text("# names\nserver_name ml.example.org [2001:db8::1];\n")
    (folder / "application.conf").write_bytes((SHIPPED / "application.conf").read_bytes())
    return tmp_path


def read(site, more="", *, profile="production", nginx=None, transport=""):
    """Return settings; `more` comes before the table of transport."""
    nginx = site / "nginx" if nginx is None else nginx
    server = "" if "[server]" in more else "[server]\n"
    (site / "secureml.toml").write_text(
        f'[secureml]\nprofile = "{profile}"\nplugins = ["transport"]\n'
        f'{more}\n{server}nginx = "{nginx}"\n'
        '[plugins.transport]\nhosts = ["ml.example.org", "2001:db8::1"]\n' + transport
    )
    return settings.read(site)


def agreement(found):
    """Compare Nginx with the settings, and with what transport makes of its table."""
    check_agreement(found, required(found))


def required(found):
    table = {**found.plugin_tables["transport"], "trusted": ["unix"]}
    return proxy.required([Harness(found.instance).load(Transport, table)])


def refused(found):
    with pytest.raises(ConfigError) as emitted:
        agreement(found)
    assert emitted.value.fix
    return emitted.value


def test_what_is_shipped_fits_the_defaults(site):
    agreement(read(site))


@pytest.mark.parametrize(
    ("more", "transport", "says"),
    [
        ("[server]\ntimeout = 120\n", "", "proxy_read_timeout 125s"),
        ("[payload]\nbody = '8MiB'\n", "", "client_max_body_size 8388608"),
        ("[payload]\nbody = '64KiB'\n", "", "Nginx has client_max_body_size 1048576"),
        ("", 'allow_origins = ["https://a.example"]\n', '"https://a.example"'),
    ],
)
def test_a_setting_that_nginx_does_not_know_is_refused_until_it_is_told(
    site, more, transport, says, type_command
):
    found = read(site, more, transport=transport)
    emitted = refused(found)
    assert says in emitted.message
    assert emitted.file == str(site / "nginx/application.conf")
    assert f"secureml nginx-conf > {emitted.file}" in emitted.fix
    from secureml.cli.nginx_files import application_conf

    Path(emitted.file).write_text(application_conf(found, required(found)))
    agreement(found)


def test_remarks_and_blanks_are_nobodys_disagreement(site):
    file = site / "nginx/application.conf"
    file.write_text("# mine\n" + file.read_text().replace(" ", "   ").replace(";", ";  # so"))
    agreement(read(site))


def test_an_include_edited_by_hand_is_refused(site):
    file = site / "nginx/application.conf"
    file.write_text(file.read_text().replace("1048576", "0"))
    assert "Nginx has client_max_body_size 0" in refused(read(site)).message


def test_before_nginx_is_installed_what_is_shipped_is_compared_and_that_is_said(
    site, monkeypatch, caplog
):
    monkeypatch.setattr("secureml.cli.nginx_conf.NGINX_FOLDER", str(site / "none"))
    caplog.set_level("INFO", "secureml")
    agreement(read(site, nginx=site / "none"))
    (line,) = [record.message for record in caplog.records]
    assert f"[server] nginx: {site / 'none' / 'application.conf'}: the file does not exist" in line
    late = read(site, "[server]\ntimeout = 120\n", nginx=site / "none")
    assert "125s" in refused(late).message


@pytest.mark.parametrize("named", ["none", "nginx", "nginx/names.conf"])
def test_attack_a_folder_that_is_not_nginxs_does_not_turn_the_comparison_off(site, named):
    """A misspelt one: every setting would agree with nothing."""
    (site / "nginx/application.conf").unlink()
    emitted = refused(read(site, nginx=site / named))
    assert (emitted.file, emitted.table, emitted.key) == (
        str(site / "secureml.toml"),
        "server",
        "nginx",
    )
    assert str(site / named / "application.conf") in emitted.message


def test_a_file_that_cannot_be_read_is_no_agreement(site):
    (site / "nginx/application.conf").unlink()
    (site / "nginx/application.conf").mkdir()
    assert "cannot be read" in refused(read(site)).message


@pytest.mark.parametrize(("profile", "nginx"), [("development", None), ("production", "")])
def test_where_nginx_is_not_ours_nothing_is_compared(site, profile, nginx):
    agreement(read(site, "[server]\ntimeout = 120\n", profile=profile, nginx=nginx))


@pytest.mark.parametrize("names", ["server_name other.example.org;", "server_name ml.example.org;"])
def test_a_host_that_nginx_answers_421_for_is_refused(site, names):
    (site / "nginx/names.conf").write_text(names)
    emitted = refused(read(site))
    assert "server_name lacks" in emitted.message
    assert "a host name of [plugins.transport]" in emitted.message
    assert emitted.file == str(site / "nginx/names.conf")


@pytest.mark.parametrize("names", ["server_name *.example.org;", "server_name ~^ml;", "# none"])
def test_names_that_are_patterns_are_left_to_nginx(site, names):
    (site / "nginx/names.conf").write_text(names)
    agreement(read(site))


def test_the_command_prints_the_file(type_command, fresh_instance):
    said = type_command("nginx-conf", "--instance", fresh_instance)
    assert (said.code, said.err) == (0, "")
    assert said.out == (SHIPPED / "application.conf").read_text()
    scripted = type_command("nginx-conf", "--json", "--instance", fresh_instance)
    found = json.loads(scripted.out)
    assert (found["file"], found["text"]) == ("application.conf", said.out)


def test_check_refuses_what_the_two_do_not_agree_on(type_command, fresh_instance, tmp_path):
    (tmp_path / "nginx").mkdir()
    (tmp_path / "nginx/application.conf").write_bytes((SHIPPED / "application.conf").read_bytes())
    file = fresh_instance / "secureml.toml"
    text = file.read_text().replace('"development"', '"production"')
    file.write_text(f'{text}\n[server]\ntimeout = 120\nnginx = "{tmp_path / "nginx"}"\n')
    said = type_command("check", "--instance", fresh_instance)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "proxy_read_timeout 125s" in said.err
