"""A server that nobody could ask does not start: its socket, and whom it believes."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest

from secureml import ConfigError
from secureml.core import build_core


def configured(instance, bind, trusted='"unix"', direct="false"):
    file = instance / "secureml.toml"
    text = file.read_text().replace('trusted = ["unix"]', f"trusted = [{trusted}]")
    text = text.replace("direct = true", f"direct = {direct}")
    file.write_text(f'{text}\n[server]\nbind = "{bind}"\n')
    return instance


def refusal(instance):
    with pytest.raises(ConfigError) as refused:
        build_core(instance)
    assert refused.value.file == str(instance / "secureml.toml")
    return refused.value


@pytest.mark.parametrize("path", ["nodir/x.sock", "file/x.sock", "folder"])
def test_attack_a_socket_that_cannot_be_made_is_no_setting(fresh_instance, tmp_path, path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    emitted = refusal(configured(fresh_instance, f"unix:{tmp_path / path}"))
    assert (emitted.table, emitted.key) == ("server", "bind")
    assert str(tmp_path) in emitted.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_we_may_not_write_is_no_place_for_a_socket(fresh_instance, tmp_path):
    (tmp_path / "closed").mkdir(0o500)
    emitted = refusal(configured(fresh_instance, f"unix:{tmp_path / 'closed' / 'x.sock'}"))
    assert "may not write" in emitted.message


def test_a_socket_that_somebody_made_for_us_is_taken(fresh_instance, tmp_path, monkeypatch):
    """As systemd does, in a folder of root's."""
    monkeypatch.setattr("secureml.bind_check.os.access", lambda *_: False)
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(tmp_path / "x.sock"))
        build_core(configured(fresh_instance, f"unix:{tmp_path / 'x.sock'}")).close()
    emitted = refusal(configured_again(fresh_instance, tmp_path))
    assert "may not write" in emitted.message


def configured_again(instance, tmp_path):
    file = instance / "secureml.toml"
    file.write_text(file.read_text().replace("x.sock", "y.sock"))
    return instance


@pytest.mark.parametrize(
    ("bind", "trusted", "fix"),
    [
        ("127.0.0.1:8000", '"unix"', 'add "127.0.0.1/32"'),
        ("[::1]:8000", '"unix"', 'add "::1/128"'),
        ("127.0.0.1:8000", '"10.0.0.0/8"', 'add "127.0.0.1/32"'),
        ("[::1]:8000", '"127.0.0.0/8"', 'add "::1/128"'),
        ("unix:{folder}/run/x.sock", '"10.0.0.0/8"', 'add "unix"'),
        ("", '"10.0.0.0/8"', 'add "unix"'),
    ],
)
def test_attack_an_address_where_nobody_is_believed_is_no_setting(
    fresh_instance, bind, trusted, fix
):
    emitted = refusal(configured(fresh_instance, bind.format(folder=fresh_instance), trusted))
    assert (emitted.table, emitted.key) == ("plugins.transport", "trusted")
    assert fix in emitted.fix


@pytest.mark.parametrize(
    ("bind", "trusted", "direct"),
    [
        ("127.0.0.1:8000", '"unix", "127.0.0.0/8"', "false"),
        ("[::1]:8000", '"::1/128"', "false"),
        ("unix:{folder}/run/x.sock", '"unix"', "false"),
        ("unix:{folder}/run/gunicorn.sock", '"unix"', "false"),
        ("", '"unix", "10.0.0.0/8"', "false"),
        ("127.0.0.1:8000", '"unix"', "true"),
    ],
)
def test_what_fits_together_starts(fresh_instance, bind, trusted, direct):
    build_core(
        configured(fresh_instance, bind.format(folder=fresh_instance), trusted, direct)
    ).close()
