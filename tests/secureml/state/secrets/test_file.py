"""A secret in a file: followed within two seconds, and never half written."""

from __future__ import annotations

import os
import threading

import pytest

from secureml import ConfigError
from secureml.kit.secrets import SecretUnavailable
from secureml.state.secrets.file import FILE_LOOK, FileSecret
from secureml.state.secrets.live import RefreshPolicy
from secureml.state.secrets.value import Secret
from secureml.testing import Clock


class Watched:
    """A file, its two clocks, and the secret that follows it."""

    def __init__(self, folder):
        self.path, self.time = folder / "token", Clock(0.0)
        self.write(b"one")
        # Long after the file was written, as it is for a server that starts.
        self.wall = Clock(self.path.stat().st_ctime + 3600)
        self.live = FileSecret(
            "file:token", self.path, "file", RefreshPolicy(max_age=3600), self.time, self.wall
        )

    def write(self, content, mode=0o600):
        """Replace the file as `mv` does."""
        new = self.path.with_suffix(".new")
        new.write_bytes(content)
        new.chmod(mode)
        new.rename(self.path)

    def later(self, seconds=FILE_LOOK):
        self.time.advance(seconds)
        self.wall.advance(seconds)
        return self.live.current()


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


def test_a_new_file_is_seen_within_a_second(watched):
    """And the value before it still matches."""
    watched.later()
    watched.write(b"two")

    assert watched.live.current() == Secret(b"one")
    assert watched.later() == Secret(b"two")
    assert watched.live.matches_any(b"one")
    assert watched.live.matches_any(b"two")


def test_it_is_looked_at_once_a_second_and_read_only_when_it_changed(watched, monkeypatch):
    """A request costs no system call in between."""
    watched.later()
    looks = []
    stat = type(watched.path).stat
    monkeypatch.setattr(
        type(watched.path), "stat", lambda path, **words: looks.append(path) or stat(path, **words)
    )
    monkeypatch.setattr("secureml.state.secrets.file.read_file", None)

    for _ in range(8):
        watched.later(FILE_LOOK / 4)
    assert len(looks) == 2


def test_what_the_other_side_already_offers_is_taken_at_once(watched):
    """Nginx is reloaded in the same second in which the file was written."""
    watched.later()
    watched.write(b"two")

    assert watched.live.matches_any(b"two")
    assert watched.live.current() == Secret(b"two")
    assert watched.live.matches_any(b"one")


def test_a_wrong_offer_changes_nothing(watched):
    """Whoever guesses cannot make us take a file that is still being written."""
    watched.later()
    watched.write(b"tw")

    assert not watched.live.matches_any(b"guess")
    assert watched.live.current() == Secret(b"one")


def test_half_a_secret_does_not_push_out_the_previous_one(watched):
    """Someone writes in place, in two goes: the first is not believed while it is fresh."""
    watched.later()
    watched.wall.seconds = watched.path.stat().st_ctime
    with watched.path.open("r+b") as file:
        file.write(b"tw")
        file.truncate()
        file.flush()
        watched.wall.seconds = watched.path.stat().st_ctime
        watched.time.advance(FILE_LOOK)
        assert watched.live.current() == Secret(b"one")
        file.write(b"o!")
    watched.later(3600)

    assert watched.live.current() == Secret(b"two!")
    assert watched.live.matches_any(b"one")


def test_a_clock_that_stands_wrong_costs_one_more_look(watched):
    """The file seems to come from the future; seen twice alike, it is settled."""
    watched.later()
    watched.wall.seconds = 0.0
    watched.write(b"two")

    assert watched.later() == Secret(b"one")
    assert watched.later() == Secret(b"two")


def test_a_change_within_the_tick_of_the_start_is_seen(watched):
    """Same size, same times: so the first mark is not believed."""
    found = watched.path.stat()
    watched.path.write_bytes(b"two")
    os.utime(watched.path, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert watched.later() == Secret(b"two")


@pytest.mark.parametrize("spoil", ["gone", "open", "empty", "folder"])
def test_a_file_that_is_spoilt_leaves_the_last_value_until_it_is_too_old(watched, spoil, caplog):
    """Reported once; then refused, then healed without a restart."""
    watched.later()
    if spoil == "open":
        watched.write(b"two", mode=0o644)
    elif spoil == "empty":
        watched.write(b"\n")
    else:
        watched.path.unlink()
        if spoil == "folder":
            watched.path.mkdir()

    assert watched.later() == Secret(b"one")
    assert watched.later(3599) == Secret(b"one")
    with pytest.raises(SecretUnavailable):
        watched.later(2)
    assert not any(word in caplog.text for word in ("b'one'", "'two'"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]

    if spoil == "folder":
        watched.path.rmdir()
    watched.write(b"three")
    assert watched.later() == Secret(b"three")


def test_while_the_file_is_gone_no_offer_is_taken(watched):
    """Except what was right before."""
    watched.later()
    watched.path.unlink()

    assert not watched.live.matches_any(b"two")
    assert watched.live.matches_any(b"one")


def test_a_file_that_cannot_be_read_at_the_start_stops_it(tmp_path):
    """There is no last value to go on with."""
    with pytest.raises(ConfigError):
        FileSecret("file:x", tmp_path / "x", "file", RefreshPolicy(), Clock(), Clock())


def test_while_one_thread_looks_the_others_go_on(watched):
    """A slow disk holds up one request, not all."""
    watched.later()
    watched.write(b"two")
    watched.time.advance(FILE_LOOK)
    with watched.live._lock:
        other = threading.Thread(target=watched.live.current)
        other.start()
        other.join(5)
        assert not other.is_alive()
        assert watched.live.current() == Secret(b"one")
    assert watched.live.current() == Secret(b"two")
