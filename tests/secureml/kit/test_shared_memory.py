from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from secureml.kit.shared_memory import SECRET, SharedMemory

CHECKOUT = Path(__file__).resolve().parents[3]
COUNT = """
import sys
from pathlib import Path
from secureml.kit.shared_memory import SharedMemory
memory = SharedMemory(Path(sys.argv[1]), "counter", 8)
print("up", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with memory.lock(0):
        data = memory.mapped()
        data[:8] = (int.from_bytes(data[:8], "little") + 1).to_bytes(8, "little")
"""


@pytest.fixture
def memory(tmp_path):
    found = SharedMemory(tmp_path / "store" / "numbers", "counter", 8)
    yield found
    found.close()


def file_of(tmp_path):
    (found,) = (tmp_path / "store").iterdir()
    return found


def add(memory, number=0):
    with memory.lock(number):
        data = memory.mapped()
        data[:8] = (value(memory) + 1).to_bytes(8, "little")


def value(memory):
    return int.from_bytes(memory.mapped()[:8], "little")


def in_child(work):
    """Run work in a forked process; return whether it ended well within ten seconds."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        try:
            work()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def test_new_memory_is_zero_and_as_long_as_asked(memory):
    assert memory.mapped()[:] == bytes(8)
    assert memory.mapped() is memory.mapped()


def test_two_processes_lose_no_count(tmp_path):
    words = [sys.executable, "-c", COUNT, str(tmp_path / "store" / "numbers"), "5000"]
    workers = [
        subprocess.Popen(
            words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "up\n"
    for worker in workers:
        worker.communicate("go\n", timeout=60)
        assert worker.returncode == 0
    memory = SharedMemory(tmp_path / "store" / "numbers", "counter", 8)

    assert value(memory) == 10_000
    memory.close()


def test_threads_lose_no_count(memory):
    threads = [threading.Thread(target=lambda: [add(memory) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(memory) == 2000


def test_a_forked_process_shares_the_memory(memory):
    add(memory)
    assert in_child(lambda: add(memory))
    assert value(memory) == 2


def test_a_fork_while_a_thread_holds_the_lock_does_not_block_the_child_for_ever(memory):
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with memory.lock(0):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    # Another number of the same thread lock: free in the file, held in the copied memory.
    assert in_child(lambda: add(memory, number=64))
    leave.set()
    thread.join()


def test_the_lock_of_a_process_that_died_is_free(memory):
    def die():
        memory.lock(0).acquire()
        os.kill(os.getpid(), 9)

    assert not in_child(die)
    add(memory)
    assert value(memory) == 1


def test_an_exception_inside_the_lock_gives_it_back(memory):
    with pytest.raises(RuntimeError), memory.lock(0):
        raise RuntimeError
    add(memory)


def test_what_was_written_and_the_secret_outlive_the_process(memory, tmp_path):
    add(memory)
    secret = memory.secret
    memory.close()
    again = SharedMemory(tmp_path / "store" / "numbers", "counter", 8)

    assert (value(again), again.secret) == (1, secret)
    assert len(secret) == SECRET
    again.close()


def test_each_file_has_a_secret_of_its_own(tmp_path):
    memories = [SharedMemory(tmp_path / name, "counter", 8) for name in ("a", "b")]
    assert memories[0].secret != memories[1].secret
    for memory in memories:
        memory.close()


def test_only_its_owner_may_read_it(memory, tmp_path):
    memory.mapped()
    assert file_of(tmp_path).stat().st_mode & 0o077 == 0
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("layout", "size"), [("counter", 16), ("other", 8)])
def test_another_layout_or_size_is_another_file_and_the_old_one_goes(
    memory, tmp_path, layout, size
):
    add(memory)
    other = SharedMemory(tmp_path / "store" / "numbers", layout, size)

    assert value(other) == 0
    assert len(list((tmp_path / "store").iterdir())) == 1
    add(memory)  # the deleted file stays mapped: no signal
    assert value(memory) == 2
    other.close()


def test_it_is_allocated_whole(tmp_path):
    memory = SharedMemory(tmp_path / "store" / "numbers", "large", 1 << 20)
    memory.mapped()
    found = file_of(tmp_path).stat()

    assert found.st_blocks * 512 >= found.st_size >= 1 << 20
    memory.close()


@pytest.mark.parametrize("damage", [b"", b"x" * 40, b"x" * 20_000])
def test_a_file_with_a_damaged_header_begins_again_with_zeros(memory, tmp_path, damage):
    add(memory)
    secret = memory.secret
    memory.close()
    file_of(tmp_path).write_bytes(damage)

    assert value(memory) == 0
    assert memory.secret != secret
    add(memory)
    assert value(memory) == 1


def test_a_file_that_was_cut_short_is_made_whole(memory, tmp_path):
    secret = memory.secret
    memory.close()
    os.truncate(file_of(tmp_path), 100)

    assert value(memory) == 0
    assert memory.secret == secret


def test_attack_a_link_in_its_place_is_not_followed(memory, tmp_path):
    memory.mapped()
    memory.close()
    file = file_of(tmp_path)
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    file.unlink()
    file.symlink_to(target)

    with pytest.raises(OSError, match="symbolic links"):
        memory.mapped()
    assert target.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made_is_an_error_each_time_until_it_can(tmp_path):
    (tmp_path / "store").write_text("a file")
    memory = SharedMemory(tmp_path / "store" / "numbers", "counter", 8)
    for _ in range(2):
        with pytest.raises(OSError, match="store"):
            memory.mapped()
    (tmp_path / "store").unlink()

    assert value(memory) == 0
    memory.close()


def test_it_exists_once_it_was_used(memory):
    assert not memory.exists()
    memory.mapped()
    assert memory.exists()


def test_closing_twice_and_using_it_again_is_no_error(memory):
    add(memory)
    memory.close()
    memory.close()
    assert value(memory) == 1
