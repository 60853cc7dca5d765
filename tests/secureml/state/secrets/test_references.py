"""Secrets: named by reference, and never shown by accident."""

from __future__ import annotations

import copy
import hmac
import os
import pickle
import sys

import pytest

from secureml import ConfigError
from secureml.state.secrets import references as secrets
from secureml.state.secrets.aws import AwsOptions
from secureml.state.secrets.file import FileSecret
from secureml.state.secrets.live import LiveSecret
from secureml.state.secrets.local_sources import LARGEST
from secureml.state.secrets.polled import PolledSecret
from secureml.state.secrets.references import (
    RefreshPolicy,
    Secret,
    SecretOptions,
    SecretSource,
    is_local,
    is_reference,
)
from secureml.state.secrets.vault import VaultOptions

CANARY = b"correct-horse-battery"


def written(folder, content=CANARY, mode=0o600):
    """Return a reference to a secret file."""
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return SecretSource("file:secret")


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda secret: f"{[secret]!r}"])
def test_a_secret_does_not_print(show):
    """Not even inside something else."""
    assert CANARY.decode() not in show(Secret(CANARY))


def test_a_secret_is_not_pickled_or_hashed():
    """Either would keep it somewhere."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError):
        hash(Secret(CANARY))


def test_a_secret_is_compared_in_full():
    """By value, and with secrets only."""
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(CANARY + b"x")
    assert Secret(CANARY) != CANARY
    assert Secret(CANARY).matches(CANARY)


def test_a_file_gives_its_content_without_the_line_end(tmp_path):
    """Editors add one."""
    assert written(tmp_path, CANARY + b"\n").read(tmp_path).reveal() == CANARY


def test_the_environment_gives_a_secret(tmp_path, monkeypatch):
    """By name."""
    monkeypatch.setenv("TEST_SECRET", CANARY.decode())

    assert SecretSource("env:TEST_SECRET").read(tmp_path).reveal() == CANARY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_no_secret(tmp_path, mode):
    """The message holds the command that mends it."""
    with pytest.raises(ConfigError, match="chmod 600"):
        written(tmp_path, mode=mode).read(tmp_path)


def test_a_file_of_another_user_is_refused(tmp_path, monkeypatch):
    """They could change it."""
    source = written(tmp_path)
    monkeypatch.setattr("secureml.state.secrets.local_sources.os.geteuid", lambda: 4711)
    if (tmp_path / "secret").stat().st_uid == 0:
        assert source.read(tmp_path).reveal() == CANARY  # root's own files are believed
        return
    with pytest.raises(ConfigError, match="belongs to another user"):
        source.read(tmp_path)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("file:absent", "cannot be read"),
        ("file:folder", "regular file|cannot be read"),
        ("file:empty", "empty"),
        ("env:TEST_NOT_SET_ANYWHERE", "is not set"),
        ("hunter2", "never written"),
        ("https://example.org", "never written"),
        ("file:", "never written"),
        ("", "never written"),
    ],
)
def test_what_gives_no_secret_is_refused_with_the_fix(tmp_path, reference, says):
    """And the message does not repeat what may be a secret written out."""
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "empty").touch(mode=0o600)

    with pytest.raises(ConfigError, match=says) as refused:
        SecretSource(reference).read(tmp_path)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("env:A", True), ("file:a/b", True), ("env:", False), ("a", False), ("x:y", False)],
)
def test_a_reference_is_known_by_its_scheme(text, is_one):
    """Anything else is a literal."""
    assert is_reference(text) is is_one


def test_a_place_on_this_machine_is_told_from_a_manager():
    """A manager's own login must lie here."""
    assert all(is_local(text) for text in ("env:A", "file:a", "systemd:a"))
    assert not any(is_local(text) for text in ("vault:kv/a#b", "aws:a", "env:", "a"))


# -- Managers and watching -----------------------------------------------------------------------


@pytest.fixture
def managed(tmp_path, stub):
    """An instance with both managers, played by one stub, and a token for the one."""
    written(tmp_path)
    stub.says(
        {
            "data": {"data": {"token": "v"}, "metadata": {"created_time": "2026-01-01T00:00:00Z"}},
            "SecretString": "a",
        }
    )
    options = SecretOptions(
        RefreshPolicy(refresh=3600, overlap=600, max_age=86400),
        vault=VaultOptions(stub.url, token="file:secret"),
        aws=AwsOptions("eu-central-1", stub.url),
    )
    secrets.configure(tmp_path, options)
    yield tmp_path
    secrets._locations.pop(tmp_path)


def test_a_manager_is_asked_by_its_scheme(managed, monkeypatch):
    """Each by the table of this instance."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    assert SecretSource("vault:kv/edge#token").read(managed).reveal() == b"v"
    assert SecretSource("vault:kv/edge#token").look(managed).changed == 1767225600.0
    assert SecretSource("aws:edge").read(managed).reveal() == b"a"


@pytest.mark.parametrize(("reference", "table"), [("vault:kv/a#b", "vault"), ("aws:a", "aws")])
def test_a_manager_without_its_table_stops_the_start(tmp_path, reference, table):
    """The line holds the table to write."""
    with pytest.raises(ConfigError, match=rf"need the table \[secrets.{table}\]"):
        SecretSource(reference).watch(tmp_path)


@pytest.mark.parametrize(("library", "reference"), [("hvac", "vault:kv/a#b"), ("boto3", "aws:a")])
def test_a_library_that_is_not_there_stops_only_who_asks_for_it(
    managed, monkeypatch, library, reference
):
    """The rest of the secrets goes on."""
    monkeypatch.setitem(sys.modules, library, None)

    assert SecretSource("file:secret").read(managed).reveal() == CANARY
    with pytest.raises(ConfigError, match="extra"):
        SecretSource(reference).read(managed)


def test_each_kind_is_followed_in_its_own_way(managed, monkeypatch):
    """Never, by a look, or from a thread that has not started yet."""
    monkeypatch.setenv("TEST_SECRET", CANARY.decode())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(managed))

    for reference, kind in [
        ("env:TEST_SECRET", LiveSecret),
        ("file:secret", FileSecret),
        ("systemd:secret", FileSecret),
        ("vault:kv/edge#token", PolledSecret),
    ]:
        live = SecretSource(reference).watch(managed)
        assert type(live) is kind
        assert live.current().reveal() in (CANARY, b"v")
        live.close()


def test_the_period_may_be_said_where_it_is_watched(managed):
    """Else it is the instance's."""
    source = SecretSource("vault:kv/edge#token")

    assert source.watch(managed)._options == RefreshPolicy(3600, 600, 86400)
    assert source.watch(managed, 5.0)._options == RefreshPolicy(5.0, 600, 86400)


def test_a_literal_is_not_watched(tmp_path):
    """Nor repeated."""
    with pytest.raises(ConfigError, match="never written"):
        SecretSource("hunter2").watch(tmp_path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_protocol_pickles_a_secret_and_no_copy_is_made(protocol):
    """A secret in a queue or a cache would be written out."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(CANARY), protocol)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(Secret(CANARY))


def test_a_secret_is_compared_in_constant_time(monkeypatch):
    """Also where the lengths differ."""
    compared, compare = [], hmac.compare_digest
    monkeypatch.setattr(
        "secureml.state.secrets.value.hmac.compare_digest",
        lambda *pair: compared.append(pair) or compare(*pair),
    )
    assert not Secret(CANARY).matches(CANARY[:-1])
    assert Secret(CANARY) != Secret(b"")
    assert len(compared) == 2


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    """Nobody may ever write to it."""
    os.mkfifo(tmp_path / "secret", 0o600)
    with pytest.raises(ConfigError, match="regular file"):
        SecretSource("file:secret").read(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_attack_a_file_that_someone_else_owns_is_refused_by_root_too(tmp_path):
    """Its owner could change the mode, and then the secret."""
    source = written(tmp_path)
    os.chown(tmp_path / "secret", 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to another user"):
        source.read(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_reads_the_secret_of_the_user_who_owns_its_folder(tmp_path):
    """An operator's command on a server, where keys belong to the service."""
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    written(keys)
    os.chown(keys / "secret", 65534, 65534)
    os.chown(keys, 65534, 65534)
    assert SecretSource("file:keys/secret").read(tmp_path).reveal() == CANARY
    os.chown(keys, 4711, 4711)
    with pytest.raises(ConfigError, match="belongs to another user"):
        SecretSource("file:keys/secret").read(tmp_path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused_and_not_read(tmp_path, device):
    """One of them never ends."""
    with pytest.raises(ConfigError, match="regular file"):
        SecretSource(f"file:{device}").read(tmp_path)


def test_a_file_too_large_for_a_secret_is_the_wrong_file(tmp_path):
    """It is not read to its end."""
    with pytest.raises(ConfigError, match="64 KiB"):
        written(tmp_path, b"x" * (LARGEST + 1)).read(tmp_path)
    assert len(written(tmp_path, b"x" * LARGEST).read(tmp_path).reveal()) == LARGEST


def test_a_file_may_stand_anywhere_and_is_else_in_the_instance_folder(tmp_path):
    """Container secrets are mounted where the platform likes."""
    written(tmp_path)
    elsewhere = tmp_path / "instance"
    assert SecretSource(f"file:{tmp_path}/secret").read(elsewhere).reveal() == CANARY
    with pytest.raises(ConfigError, match="cannot be read"):
        SecretSource("file:secret").read(elsewhere)


def test_a_secret_is_what_it_is_now(tmp_path, monkeypatch):
    """So a rotated one needs no restart."""
    source = written(tmp_path, b"old")
    assert source.read(tmp_path).reveal() == b"old"
    written(tmp_path, b"new")
    assert source.read(tmp_path).reveal() == b"new"


def test_the_environment_may_hold_bytes_that_are_no_text(tmp_path, monkeypatch):
    """A secret is bytes."""
    monkeypatch.setitem(os.environb, b"TEST_SECRET", b"\xff\xfe\x80")
    assert SecretSource("env:TEST_SECRET").read(tmp_path).reveal() == b"\xff\xfe\x80"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_only_the_line_end_is_left_out(tmp_path, end):
    """Spaces may belong to it."""
    assert written(tmp_path, b" a b " + end).read(tmp_path).reveal() == b" a b "
