"""The file of lines: whole lines of many processes, before and after it is moved away."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.access_log.line_file import LineFile


@pytest.fixture
def file(tmp_path):
    """A file that is released at the end."""
    made = LineFile(tmp_path / "lines.log")
    yield made
    made.close()


def descriptors():
    """Return how many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_lines_are_appended_in_their_order(file, tmp_path):
    """Behind what is there already."""
    path = tmp_path / "lines.log"
    path.write_text("before\n")
    file.write("one")
    file.write("two")

    assert path.read_text() == "before\none\ntwo\n"


def test_nothing_is_opened_before_the_first_line(file, tmp_path):
    """What is open before a fork is shared after it."""
    assert not (tmp_path / "lines.log").exists()


def test_a_line_is_on_its_way_when_write_returns(file, tmp_path):
    """No buffer that a killed worker would take along."""
    file.write("one")

    assert (tmp_path / "lines.log").read_text() == "one\n"


def test_a_moved_file_is_opened_anew_and_the_old_one_let_go(file, tmp_path):
    """Rotation needs no signal, and leaks no descriptor."""
    path = tmp_path / "lines.log"
    file.write("one")
    held = descriptors()
    for turn in range(3):
        path.rename(tmp_path / f"lines.{turn}")
        file.write(f"after {turn}")

    assert (tmp_path / "lines.0").read_text() == "one\n"
    assert (tmp_path / "lines.1").read_text() == "after 0\n"
    assert path.read_text() == "after 2\n"
    assert descriptors() == held


def test_a_file_that_another_process_made_anew_is_found(file, tmp_path):
    """The other worker was first after the rotation."""
    path = tmp_path / "lines.log"
    file.write("one")
    path.rename(tmp_path / "old")
    path.write_text("theirs\n")
    file.write("ours")

    assert path.read_text() == "theirs\nours\n"


def test_it_is_closed_to_others_whatever_the_umask(file, tmp_path):
    """Before and after a rotation."""
    path = tmp_path / "lines.log"
    before = os.umask(0)
    try:
        for _ in range(2):
            file.write("one")
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
            path.unlink()
    finally:
        os.umask(before)


def test_a_folder_that_is_gone_raises_until_it_is_back(tmp_path):
    """A line that cannot be written is said, not swallowed."""
    folder = tmp_path / "logs"
    folder.mkdir()
    file = LineFile(folder / "lines.log")
    file.write("one")
    folder.rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            file.write("lost")

    folder.mkdir()
    file.write("two")
    file.close()
    assert (folder / "lines.log").read_text() == "two\n"


def test_a_full_disk_raises():
    """The device that is always full, asked for real."""
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no /dev/full on this system")
    file = LineFile(device)
    with pytest.raises(OSError, match="No space left"):
        file.write("one")
    file.close()


def test_a_disk_that_fills_up_in_mid_line_leaves_the_next_line_whole(file, tmp_path, monkeypatch):
    """The stump is ended, so that it spoils no other line."""
    real, path = os.write, tmp_path / "lines.log"

    def short(descriptor, content):
        monkeypatch.setattr(os, "write", real)
        return real(descriptor, content[:3])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="only 3 of 9 bytes"):
        file.write("a line !")
    file.write("the next")

    assert path.read_text() == "a l\nthe next\n"


def test_closing_twice_is_closing_and_a_later_line_opens_again(file, tmp_path):
    """A request that outlives the shutdown is still written down."""
    held = descriptors()
    file.write("one")
    file.close()
    file.close()
    assert descriptors() == held

    file.write("two")
    assert (tmp_path / "lines.log").read_text() == "one\ntwo\n"


def test_threads_do_not_mix_their_lines(file, tmp_path):
    """While the file is being moved about."""
    path = tmp_path / "lines.log"

    def write(letter):
        for number in range(200):
            if number % 50 == 25 and letter == "a":
                path.rename(tmp_path / f"moved.{number}")
            file.write(letter * 300)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    file.write("a" * 300)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    written = "".join(one.read_text() for one in tmp_path.iterdir()).splitlines()
    assert sorted(written) == sorted(["a" * 300] + [c * 300 for c in "abcd" for _ in range(200)])


def test_processes_append_whole_lines(file, tmp_path):
    """Also when the parent had the file open before the fork, and lines are long."""
    file.write("p" * 20_000)
    children = []
    for letter in "ab":
        child = os.fork()
        if child == 0:
            try:
                for _ in range(100):
                    file.write(letter * 20_000)
            finally:
                os._exit(0)
        children.append(child)

    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    written = (tmp_path / "lines.log").read_text().splitlines()
    assert sorted(written) == sorted(letter * 20_000 for letter in ["p", *"a" * 100, *"b" * 100])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\n")))
def test_attack_letters_beyond_ascii_are_escaped(file, tmp_path, text):
    """Another kind of line end, a direction mark, half a surrogate: bytes of ASCII in the file."""
    path = tmp_path / "lines.log"
    path.unlink(missing_ok=True)
    file.write(text)

    content = path.read_bytes()
    assert content.isascii()
    assert content.count(b"\n") == 1
    assert content.endswith(b"\n")


def test_asked_to_reopen_it_lets_the_old_file_go_whatever_stands_there(file, tmp_path):
    """The same file, another one, none: the next line goes to the path."""
    path = tmp_path / "lines.log"
    file.write("one")
    held = descriptors()
    file.reopen()
    file.write("two")
    assert path.read_text() == "one\ntwo\n"

    path.rename(tmp_path / "old")
    file.reopen()
    file.write("three")
    assert (path.read_text(), (tmp_path / "old").read_text()) == ("three\n", "one\ntwo\n")
    assert descriptors() == held


def test_asked_to_reopen_before_the_first_line_nothing_is_opened(file, tmp_path):
    """A worker that has served nobody yet is asked like the others."""
    file.reopen()
    assert not (tmp_path / "lines.log").exists()
