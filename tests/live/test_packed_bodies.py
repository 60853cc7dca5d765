"""Packed bodies through the real edge: read where the operator asks for it, and no bomb goes off.

Nginx hands a packed body on as it came, so its own limit counts what was sent, and ours what
comes out of it.
"""

from __future__ import annotations

import gzip
import json
import random
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_serving import PREDICT, Served, ask
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live_serving import Instance

pytestmark = pytest.mark.live

ROWS = load_breast_cancer().data[:20].tolist()
GOOD = json.dumps({"instances": ROWS}).encode()
MEGABYTE = 1024 * 1024
# Packs to half: no bomb, and still larger than a body may be.
DIGITS = "".join(random.Random(1).choices("0123456789", k=1_200_000)).encode()
BOMB = gzip.compress(b"\0" * 200 * MEGABYTE)
SPACES = b" " * 900_000  # JSON may be padded: within every limit but that of a bomb


@pytest.fixture(scope="module")
def unpacking(prepared: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """A server of its own that reads packed bodies."""
    mine = prepared.copy(tmp_path_factory.mktemp("packed") / "instance")
    settings = mine.folder / "secureml.toml"
    settings.write_text(settings.read_text() + "\n[payload]\ngzip = true\n")
    served = Served(mine.folder).ready()
    yield served, mine.key("packer")
    served.stop()


def send(unpacking: tuple, body: bytes) -> Any:
    served, key = unpacking
    with closing(served.connect()) as connection:
        return ask(connection, "POST", PREDICT, key, body, Content_Encoding="gzip")


def peak(pid: int) -> int:
    """Return the most memory a process has ever held, in bytes."""
    [line] = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


def test_a_packed_body_is_answered_like_a_plain_one(unpacking: tuple) -> None:
    served, key = unpacking
    packed = send(unpacking, gzip.compress(GOOD))
    with closing(served.connect()) as connection:
        plain = ask(connection, "POST", PREDICT, key, GOOD)
    assert (packed.status, plain.status) == (200, 200)
    assert packed.json()["predictions"] == plain.json()["predictions"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (gzip.compress(SPACES + GOOD), 413, "body_expands"),
        (BOMB, 413, "body_too_large"),
        (gzip.compress(DIGITS), 413, "body_too_large"),
        (gzip.compress(GOOD)[:-1], 400, "malformed_encoding"),
        (gzip.compress(GOOD) * 2, 400, "malformed_encoding"),
        (gzip.compress(GOOD) + b"x", 400, "malformed_encoding"),
        (GOOD, 400, "malformed_encoding"),
        (gzip.compress(gzip.compress(GOOD)), 400, "malformed_json"),
    ],
    ids=[
        "a bomb of spaces", "a bomb of 200 MB", "larger than a body may be", "cut off",
        "two members", "something behind the end", "not packed", "packed twice",
    ],
)  # fmt: skip
def test_what_is_packed_badly_is_refused_by_code(
    unpacking: tuple, body: bytes, status: int, code: str
) -> None:
    answer = send(unpacking, body)
    assert (answer.status, answer.json()["code"]) == (status, code)


def test_a_hundred_bombs_cost_no_worker_its_memory(unpacking: tuple) -> None:
    """Each would become 200 MB; what a worker ever held grows by less than a tenth of one."""
    served, _ = unpacking
    workers = served.workers()
    for _ in range(20):
        send(unpacking, BOMB)
    before = {pid: peak(pid) for pid in workers}
    for _ in range(100):
        assert send(unpacking, BOMB).status == 413
    assert served.workers() == workers
    grown = [(peak(pid) - before[pid]) / MEGABYTE for pid in workers]
    assert max(grown) < 20
