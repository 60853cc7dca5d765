"""The settings file: every word known, every value checked, nothing changed afterwards."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import sqlalchemy as sa

from secureml import settings
from secureml.config_error import ConfigError
from secureml.settings import instance_folder, read
from secureml.settings_schema import TABLES

LEAST = '[secureml]\nplugins = ["api_keys", "scopes"]\n'


@pytest.fixture
def write(tmp_path):
    """Write a settings file and read it."""

    def write_it(text):
        (tmp_path / settings.FILE).write_text(text, "utf-8")
        return read(tmp_path)

    return write_it


def refusal(write, text):
    with pytest.raises(ConfigError) as refused:
        write(text)
    assert refused.value.fix
    assert str(refused.value).startswith(refused.value.file)
    return refused.value


# -- what is taken --------------------------------------------------------------------------------


def test_the_least_there_can_be_is_the_strictest(write, tmp_path):
    found = write(LEAST)
    assert found.production
    assert found.plugins == ("api_keys", "scopes")
    assert found.accept_risk == frozenset()
    assert found.models_folder == tmp_path / "models"
    assert found.models_allow == frozenset()
    assert found.body_limit == 1024 * 1024
    assert (found.limits.depth, found.limits.keys, found.limits.string) == (8, 1000, 4096)
    assert found.file == str(tmp_path / "secureml.toml")


def test_what_is_said_is_what_is_read(write, tmp_path):
    found = write(
        '[secureml]\nplugins = ["scopes"]\nprofile = "development"\nlog_level = "debug"\n'
        'accept_risk = ["anonymous"]\n'
        '[models]\nfolder = "m"\nallow = ["a.B"]\n'
        '[payload]\nbody = "2KiB"\ndepth = 3\nkeys = 5\nstring = 7\n'
        "[plugins.x]\na = 1\n"
    )
    assert (found.production, found.log_level) == (False, "debug")
    assert found.accept_risk == {"anonymous"}
    assert (found.models_folder, found.models_allow) == (tmp_path / "m", {"a.B"})
    assert found.body_limit == 2048
    assert (found.limits.depth, found.limits.keys, found.limits.string) == (3, 5, 7)
    assert found.plugin_tables == {"x": {"a": 1}}


def test_settings_do_not_change_once_they_are_read(write):
    found = write(f"{LEAST}[plugins.x]\na = 1\n")
    with pytest.raises(FrozenInstanceError):
        found.profile = "development"
    with pytest.raises(TypeError):
        found.plugin_tables["y"] = {}
    with pytest.raises(TypeError):
        found.plugin_tables["x"]["a"] = 2


def test_the_folder_is_the_one_given_else_the_environments_else_instance(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECUREML_INSTANCE", raising=False)
    assert instance_folder() == tmp_path / "instance"
    monkeypatch.setenv("SECUREML_INSTANCE", "other")
    assert instance_folder() == tmp_path / "other"
    assert instance_folder("third") == tmp_path / "third"


@pytest.mark.parametrize("name", ["plain", "a b", "a?b", "100%25", "é#1"])
def test_the_database_lies_in_the_folder_whatever_its_name(tmp_path, name):
    """Pasted into a URL, `a?b` would be the folder `a`, which others may own."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / settings.FILE).write_text(LEAST)
    assert sa.make_url(read(folder).store_url).database == str(folder / "secureml.db")


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "table", "key"),
    [
        ("", "secureml", "plugins"),
        ("[secureml]\nplugins = []\n", "secureml", "plugins"),
        ("[secureml]\nplugins = 'scopes'\n", "secureml", "plugins"),
        ("[secureml]\nplugins = [1]\n", "secureml", "plugins.0"),
        (f"{LEAST}profile = 'staging'\n", "secureml", "profile"),
        (f"{LEAST}profile = true\n", "secureml", "profile"),
        (f"{LEAST}log_level = 'all'\n", "secureml", "log_level"),
        (f"{LEAST}accept_risk = 'anonymous'\n", "secureml", "accept_risk"),
        (f"{LEAST}debug = true\n", "secureml", "debug"),
        (f"{LEAST}[store]\nurl = 5\n", "store", "url"),
        (f"{LEAST}[store]\nurl = 'nonsense'\n", "store", "url"),
        (f"{LEAST}[store]\nurl = 'mysql://host/db'\n", "store", "url"),
        (f"{LEAST}[store]\nurl = 'postgresql+nothing://host/db'\n", "store", "url"),
        (f"{LEAST}[store]\nurl = 'postgresql+psycopg://host:port/db'\n", "store", "url"),
        (f"{LEAST}[store]\nurl = 'sqlite://'\n", "store", "url"),
        (f"{LEAST}[store]\nuri = ''\n", "store", "uri"),
        (f"{LEAST}[models]\nfolder = '/etc'\n", "models", "folder"),
        (f"{LEAST}[models]\nfolder = '../x'\n", "models", "folder"),
        (f"{LEAST}[models]\nfolder = ''\n", "models", "folder"),
        (f"{LEAST}[models]\nallow = 'os.system'\n", "models", "allow"),
        (f"{LEAST}[models]\ndefault = 'x'\n", "models", "default"),
        (f"{LEAST}[payload]\nbody = '1MB'\n", "payload", "body"),
        (f"{LEAST}[payload]\nbody = 0\n", "payload", "body"),
        (f"{LEAST}[payload]\nbody = -1\n", "payload", "body"),
        (f"{LEAST}[payload]\ndepth = '8'\n", "payload", "depth"),
        (f"{LEAST}[payload]\ndepth = 1\n", "payload", "depth"),
        (f"{LEAST}[payload]\ndepth = 65\n", "payload", "depth"),
        (f"{LEAST}[payload]\ndepth = true\n", "payload", "depth"),
        (f"{LEAST}[payload]\nkeys = 0\n", "payload", "keys"),
        (f"{LEAST}[payload]\nkeys = 1.0\n", "payload", "keys"),
        (f"{LEAST}[payload]\nmodel_rows = -1\n", "payload", "model_rows"),
        (f"{LEAST}[payload]\nstring = []\n", "payload", "string"),
        (f"{LEAST}[payload]\ngzip = 'yes'\n", "payload", "gzip"),
        (f"{LEAST}[payload]\ngzip = 1\n", "payload", "gzip"),
        (f"{LEAST}[payload]\ngzip_ratio = 0\n", "payload", "gzip_ratio"),
        (f"{LEAST}[payload]\ngzip_ratio = '100'\n", "payload", "gzip_ratio"),
        (f"{LEAST}[server]\nworkers = 0\n", "server", "workers"),
        (f"{LEAST}[server]\nworkers = 257\n", "server", "workers"),
        (f"{LEAST}[server]\nthreads = '4'\n", "server", "threads"),
        (f"{LEAST}[server]\nbind = 8000\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = 'nonsense'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = '0.0.0.0:8000'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = '[::]:8000'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = '8.8.8.8:8000'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = '10.0.0.11:8000'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = '[fd00::1]:8000'\n", "server", "bind"),
        (f"{LEAST}[payload]\nbody = '65MiB'\n", "payload", "body"),
        (f"{LEAST}[payload]\nstring = '1GiB'\n", "payload", "string"),
        (f"{LEAST}[server]\nbind = '127.0.0.1:65536'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = '127.0.0.1'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = ':8000'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = 'localhost:8000'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = 'unix:run/x.sock'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = 'unix:/{'x' * 107}'\n", "server", "bind"),
        (f"{LEAST}[server]\nbind = 'fd://3'\n", "server", "bind"),
        (f"{LEAST}[server]\ntimeout = 4\n", "server", "timeout"),
        (f"{LEAST}[server]\nnginx = 'etc/nginx'\n", "server", "nginx"),
        (f"{LEAST}[server]\nport = 1\n", "server", "port"),
        (f"{LEAST}[signing_keys]\nalgorithm = 'none'\n", "signing_keys", "algorithm"),
        (f"{LEAST}[signing_keys]\nrotate_after = '1s'\n", "signing_keys", "rotate_after"),
        (f"{LEAST}[signing_keys]\nretire_after = 60\n", "signing_keys", "retire_after"),
        (f"{LEAST}[nothing]\n", "nothing", ""),
        ("profile = 'development'\n" + LEAST, "profile", ""),
        ("store = 1\n" + LEAST, "store", ""),
        ("plugins = 1\n" + LEAST, "plugins", ""),
        (f"{LEAST}[plugins]\nscopes = 1\n", "plugins.scopes", ""),
    ],
)
def test_a_bad_word_or_value_is_told_by_file_table_and_key(write, tmp_path, text, table, key):
    refused = refusal(write, text)
    assert (refused.file, refused.table, refused.key) == (
        str(tmp_path / "secureml.toml"),
        table,
        key,
    )


def test_every_table_has_its_bad_values_above():
    cases = test_a_bad_word_or_value_is_told_by_file_table_and_key.pytestmark[0].args[1]
    tried = {(table, key) for _, table, key in cases}
    for name in ("secureml", "store", "models", "payload", "server", "signing_keys"):
        assert {(name, key) for key in TABLES[name]().fields} <= tried


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[secureml\n", "is not valid TOML"),
        (b"[a]\nx = 1\nx = 2\n", "is not valid TOML"),
        (b"\xff\xfe", "cannot be read (UnicodeDecodeError)"),
        (b"\xef\xbb\xbf[secureml]\n", "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_told_in_one_line(tmp_path, content, says):
    (tmp_path / "secureml.toml").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read(tmp_path)
    assert says in refused.value.message
    assert "\n" not in str(refused.value)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="fix: run `secureml init`"):
        read(tmp_path / "nowhere")


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path):
    (tmp_path / "secureml.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/db", "postgresql+x://u:hunter2@h/db"])
def test_a_refused_store_does_not_repeat_its_password(write, url):
    assert "hunter2" not in str(refusal(write, f"{LEAST}[store]\nurl = '{url}'\n"))


def test_a_database_whose_driver_is_missing_is_told_with_what_to_install(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    refused = refusal(write, f"{LEAST}[store]\nurl = 'postgresql+psycopg://h/db'\n")
    assert "psycopg" in refused.message
    assert refused.fix == "script/extras postgres"


@pytest.mark.parametrize("bind", ["unix:/run/x.sock", "127.0.0.1:8000", "127.8.0.1:1", "[::1]:9"])
def test_an_address_that_only_nginx_can_reach_may_be_bound(write, bind):
    write(f"{LEAST}[server]\nbind = '{bind}'\n")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("profile = 'prodution'", "did you mean 'production'? write one of \"development\""),
        ("profil = 'production'", "did you mean 'profile'? the keys here are accept_risk, "),
        ("log_level = 'all'", 'write one of "debug", "info", "warning", "error"'),
        ("[payload]\ndepth = 65", "write a whole number from 2 to 64"),
        ("[payload]\nbody = '1MB'", 'write a size such as "64KiB" or "1MiB"'),
        ("[payload]\ngzip = 'yes'", "write true or false, without quotes"),
        ("[signing_keys]\nretire_after = 60", 'write a time such as "30s"'),
        ("[models]\nallow = 'os.system'", "write a list in square brackets, each a text"),
        ("[models]\nfolder = '/etc'", "a path inside the instance folder"),
        ("[server]\nbind = 'nonsense'", 'bind = "unix:/run/secureml/gunicorn.sock"'),
        ("[servr]\nbind = ''", "did you mean 'server'?"),
    ],
)
def test_a_fix_says_what_could_stand_there(write, text, fix):
    assert fix in refusal(write, f"{LEAST}{text}\n").fix
